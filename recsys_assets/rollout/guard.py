"""A release that has just been promoted, watched by real requests until it has proved itself.

The canary has asked the release on a server of its own. The guard asks the live servers in turn,
beside the real traffic, and says whether to go back: too many requests fail, another release
answers, or answers are degraded although the online store is there. It asks each server itself,
not a service, which may not have heard yet that a server is ready, and keeps to one of them.
Deciding to go back is `promotion.py`'s.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from recsys_assets.pipeline.circuit import PAUSE_SECONDS, connect
from recsys_assets.rollout.canary import ANONYMOUS, UNKNOWN_USER, whole_answer
from recsys_assets.rollout.release_target import Answering
from recsys_assets.storage import Store
from recsys_assets.storage.online_store import STORE_ERRORS
from recsys_assets.triton.client import Recommendation, RecommendClient

_FEWEST_TO_JUDGE = 20
_KNOWN_USERS = 5
# A user whose answers stay degraded for so long is one whom the release does not serve in full.
_DEGRADED_SECONDS = 6 * PAUSE_SECONDS


@dataclass(frozen=True)
class Guard:
    """How a release is watched, and what it may do.

    Attributes:
        seconds: how long.
        users: known users whose answers are asked for, beside an unknown and an anonymous one.
        online_store_url: while no store answers there, degraded answers are not held against the
            release; empty if they always are.
        most_errors: share of requests that may fail.
        most_degraded: share of answers that may be degraded.
    """

    seconds: float = 5.0
    users: tuple[str, ...] = ()
    online_store_url: str = ""
    most_errors: float = 0.02
    most_degraded: float = 0.2


@dataclass(frozen=True)
class GuardReport:
    """What the requests after a promotion showed; `tripped` says why to go back, or is empty."""

    release: int
    requests: int
    errors: int
    degraded: int
    p99_ms: float
    tripped: str


def known_users(store: Store) -> tuple[str, ...]:
    """Some users of the table `users`, to ask for."""
    users = store.table("users").read(columns=["user_id"]).column("user_id")
    return tuple(users.slice(0, _KNOWN_USERS).to_pylist())


def watch_promotion(servers: Answering, release: int, guard: Guard, timestamp: int) -> GuardReport:
    """Sends about 20 requests a second for the guard's time; ends early if it trips.

    Args:
        servers: those that answer with the release.
        release: what has been promoted.
        guard: how long, and what is too much.
        timestamp: the time of the requests, epoch seconds.
    """
    tally = _Tally(release, guard)
    users = cycle([*guard.users, UNKNOWN_USER, ANONYMOUS])
    with ExitStack() as opened:
        asked = deque(
            (address, opened.enter_context(RecommendClient(address, probe=True)))
            for address in servers.addresses
        )
        for _ in _ticks(guard.seconds):
            if not asked or tally.verdict(_FEWEST_TO_JUDGE):
                break
            address, client = asked.popleft()
            if tally.ask(client, next(users), timestamp) or not servers.has_gone(address):
                asked.append((address, client))
            else:
                tally.forget_failure()
    return tally.report()


@dataclass
class _Tally:
    """Counts of a watch in progress."""

    release: int
    guard: Guard
    requests: int = 0
    errors: list[str] = field(default_factory=list)
    strangers: set[int] = field(default_factory=set)
    own: int = 0
    degraded: int = 0
    milliseconds: list[float] = field(default_factory=list)
    store_down_until: float = float("-inf")

    def ask(self, client: RecommendClient, user: str, timestamp: int) -> bool:
        """Asks for one user and counts what comes of it; returns whether an answer did."""
        from tritonclient.utils import InferenceServerException

        def timed() -> Recommendation:
            started = time.perf_counter()
            answer = client.recommend(user, timestamp)
            self.milliseconds.append((time.perf_counter() - started) * 1000)
            return answer

        self.requests += 1
        try:
            answer = whole_answer(timed, time.monotonic() + _DEGRADED_SECONDS)
        except InferenceServerException as error:
            self.errors.append(error.message())
            return False
        if answer.release == self.release:
            self.own += 1
        else:
            self.strangers.add(answer.release)
        if answer.degraded and not self._store_is_down():
            self.degraded += 1
        return True

    def forget_failure(self) -> None:
        """Takes back the last request, which has failed."""
        self.requests -= 1
        self.errors.pop()

    def verdict(self, fewest: int = 1) -> str:
        """Why to go back, from at least `fewest` requests; empty if nothing speaks for it."""
        if self.strangers:
            return f"release {min(self.strangers)} answers"
        if self.requests < fewest:
            return ""
        if len(self.errors) > self.guard.most_errors * self.requests:
            return f"{len(self.errors)} of {self.requests} requests failed: {self.errors[-1]}"
        if self.degraded > self.guard.most_degraded * self.requests:
            return f"{self.degraded} of {self.requests} answers were degraded"
        return ""

    def final_verdict(self) -> str:
        """The same at the end of the watch, when the release must have answered."""
        return self.verdict() or ("" if self.own else f"release {self.release} never answered")

    def report(self) -> GuardReport:
        """The result of the watch."""
        p99 = float(np.percentile(self.milliseconds, 99)) if self.milliseconds else float("nan")
        return GuardReport(
            self.release,
            self.requests,
            len(self.errors),
            self.degraded,
            round(p99, 2),
            self.final_verdict(),
        )

    def _store_is_down(self) -> bool:
        """Whether the store is missing, or was so lately that the models still leave it alone."""
        if not self.guard.online_store_url:
            return False
        with connect(self.guard.online_store_url) as store:
            try:
                store.ping()
            except STORE_ERRORS:
                self.store_down_until = time.monotonic() + 2 * PAUSE_SECONDS
        return time.monotonic() < self.store_down_until


def _ticks(seconds: float, every: float = 0.05) -> Iterator[None]:
    """Yields at an even pace for some seconds, and at least once."""
    deadline = time.monotonic() + seconds
    while True:
        started = time.monotonic()
        yield
        if time.monotonic() >= deadline:
            return
        time.sleep(max(0.0, every - (time.monotonic() - started)))
