"""Constant load on the live server: requests leave on time whether or not answers are back.

Open loop, so that a server which stalls meets the requests that queue up meanwhile, as it would
with visitors. Every answer is kept until it is collected.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from recsys_assets.triton.client import Recommendation, RecommendClient
from replay.traffic import DayTraffic, Request

_WORKERS = 8
_POLL_SECONDS = 0.2


class BrokenLoad(RuntimeError):
    """Requests are no longer sent, though they should be."""


@dataclass(frozen=True)
class Answer:
    """What came of one request; `error` is empty for an answer. Times are epoch seconds.

    A request is sent when it is `due`, unless too many before it are unanswered.
    """

    request: Request
    due: float
    sent: float
    received: float
    release: int = 0
    degraded: bool = False
    item_ids: tuple[str, ...] = ()
    error: str = ""


class Client(Protocol):
    """What the load needs of `RecommendClient`."""

    def recommend(
        self,
        user_id: str,
        timestamp: int,
        device: str = "",
        k: int = 10,
        request_id: str | None = None,
    ) -> Recommendation:
        """Asks the server."""

    def __enter__(self) -> Self:
        """The open client."""

    def __exit__(self, *_: object) -> None:
        """Closes it."""


@dataclass
class Load:
    """Sends `rate` requests a second to the gRPC address, of those it was given last.

    Args:
        address: host:port of the gRPC endpoint.
        rate: requests a second.
        connect: makes a client; one each for the threads that wait for answers.
    """

    address: str
    rate: float
    connect: Callable[[str], Client] = RecommendClient
    _due: "queue.Queue[tuple[Request, float] | None]" = field(default_factory=queue.Queue)
    _answers: list[Answer] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _requests: Iterator[Request] = field(default_factory=lambda: iter(()))
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Load":
        work = [threading.Thread(target=self._work, daemon=True) for _ in range(_WORKERS)]
        self._threads = [threading.Thread(target=self._pace, daemon=True), *work]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for _ in range(_WORKERS):
            self._due.put(None)
        for thread in self._threads:
            thread.join()

    def send(self, requests: Iterator[Request]) -> None:
        """Sends these from now on, and nothing more of those given before."""
        with self._lock:
            self._requests = requests

    def wait_for_sessions(self, traffic: DayTraffic) -> dict[int, Answer]:
        """Waits until every session of the day was answered or refused; answers by session.

        Raises:
            BrokenLoad: requests are no longer sent, by a fault of this module.
        """
        found: dict[int, Answer] = {}
        while len(found) < len(traffic.sessions):
            time.sleep(_POLL_SECONDS)
            if not all(thread.is_alive() for thread in self._threads):
                raise BrokenLoad("a thread that sends requests has ended: its traceback is above")
            with self._lock:
                for answer in self._answers:
                    if answer.request.session >= 0:
                        found[answer.request.session] = answer
        return found

    def collect(self) -> list[Answer]:
        """Takes all answers since the last call, in the order in which they came back."""
        with self._lock:
            answers, self._answers = self._answers, []
        return answers

    def _pace(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            with self._lock:
                request = next(self._requests, None)
            if request is not None:
                self._due.put((request, time.time()))
            due += 1 / self.rate
            time.sleep(max(0.0, due - time.monotonic()))

    def _work(self) -> None:
        with self.connect(self.address) as client:
            while (next_one := self._due.get()) is not None:
                answer = _ask(client, *next_one)
                with self._lock:
                    self._answers.append(answer)


def _ask(client: Client, request: Request, due: float) -> Answer:
    from tritonclient.utils import InferenceServerException

    sent = time.time()
    try:
        found = client.recommend(
            request.user_id,
            request.timestamp,
            request.device,
            request_id=request.request_id,
        )
    except InferenceServerException as error:
        return Answer(request, due, sent, time.time(), error=error.message())
    received, items = time.time(), tuple(found.item_ids)
    return Answer(request, due, sent, received, found.release, found.degraded, items)


@dataclass
class ReleaseWatch:
    """Finds answers of a release that was not live.

    From the first answer of a newly promoted release on, whatever is sent later must be answered
    by it. An answer of the release before it is right only if its request had left by then.
    """

    live: int
    _changes_seen: int = 0
    _since: float = 0.0
    _previous: int | None = None
    first_answers: dict[int, float] = field(default_factory=dict)

    def wrong(self, answers: Sequence[Answer], changes: Sequence[int]) -> list[Answer]:
        """Answers that are not as they should be.

        Args:
            answers: in the order in which they came back, without refused ones.
            changes: releases that became live since the watch began, in order, all of which
                have been recorded by the time of the call.
        """
        return [answer for answer in answers if not self._right(answer, changes)]

    def _right(self, answer: Answer, changes: Sequence[int]) -> bool:
        if answer.release == self.live:
            return True
        if answer.release == self._previous and answer.sent <= self._since:
            return True
        pending = list(changes[self._changes_seen :])
        if answer.release not in pending:
            return False
        self._changes_seen += pending.index(answer.release) + 1
        self._previous, self.live = self.live, answer.release
        self._since = self.first_answers[answer.release] = answer.received
        return True
