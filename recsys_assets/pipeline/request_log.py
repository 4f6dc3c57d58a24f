"""The log of answers: handed over by the ranking model, written to a Valkey stream in background.

An answer is in the log for good, *acknowledged*, once `XADD` has returned. What is not
acknowledged is sent again until it is, so delivery is at least once, and whoever reads drops
duplicates by request id. The stream is cut only by `monitoring.request_log`, by what is in a file.
Should nobody do so, it ends to grow at a bound: the store holds more than this. With `appendonly`
a killed store forgets nothing that it acknowledged; a machine that loses power forgets what was not
synced yet, a second at most.

An entry is compact: rows of the release's index instead of item ids, in binary. It holds about 3.5
kB for 300 candidates, nearly all of it candidates. At 100 million users, some 50,000 answers a
second, one stream is too little: one stream per shard of the store (the key ends in the shard of
the user id, which spreads over a cluster's slots) takes 36,000 writes a second each, or a Kafka
topic partitioned by user id with `acks=all` takes the place of `client.xadd` here and of `XRANGE`
and `XTRIM` in `monitoring.answer_stream`. Candidates are then logged for a fixed share of the users
only.

Runs in both environments.
"""

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from recsys_assets.storage.online_store import STORE_ERRORS, open_store

_LOG = logging.getLogger(__name__)

STREAM = "recsys:answers"
CAPACITY = 10_000  # answers that wait for the store, some 35 MB
MOST_UNCOLLECTED = 1_000_000  # answers in the stream, some 3.5 GB
_PROBE = "probe:"
_BATCH = 32  # sent at once: a larger one would keep the interpreter from answering too long
_GATHER_SECONDS = 0.05  # one writing of many answers costs less than many writings
_CONNECT_SECONDS = 1.0
_SEND_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_CLOSE_SECONDS = 3.0


class UnreadableEntry(ValueError):
    """An entry of the stream that is no answer; the message names the field and what it holds."""


def new_request_id(probe: bool = False) -> str:
    """An id that no other request has. Answers to probes are not logged: they are no traffic."""
    return f"{_PROBE if probe else ''}{uuid.uuid4().hex}"


def is_probe(request_id: str) -> bool:
    """Whether a request only asks how the server is."""
    return request_id.startswith(_PROBE)


@dataclass(frozen=True)
class Answer:
    """One answer and all that it was made from.

    Attributes:
        request_id: unique; the id of the Triton request, with the row's number in a batch.
        release: what answered.
        timestamp: of the request, epoch seconds.
        answered_at: wall clock of the server, epoch microseconds.
        degraded: whether the online store was missing.
        k: how many items were asked for.
        context: JSON object with user id, device and the user's features, "" and NaN where
            missing, as the ranker was given it.
        rows: int [m], candidates by row of the release's index, in the order retrieved.
        scores: float32 [m], aligned.
        shown: int [<= k], positions among the candidates, in the order shown.
        propensities: float32, aligned, of each to get its place given those before it; NaN = not
            known, as in a log from before they were logged.
    """

    request_id: str
    release: int
    timestamp: int
    answered_at: int
    degraded: bool
    k: int
    context: bytes
    rows: np.ndarray
    scores: np.ndarray
    shown: np.ndarray
    propensities: np.ndarray

    def encode(self) -> dict[str, str | bytes | int]:
        """Fields of an entry; arrays as little-endian int32 and float32."""
        return {
            "id": self.request_id,
            "release": self.release,
            "timestamp": self.timestamp,
            "answered_at": self.answered_at,
            "degraded": int(self.degraded),
            "k": self.k,
            "context": self.context,
            "rows": self.rows.astype("<i4").tobytes(),
            "scores": self.scores.astype("<f4").tobytes(),
            "shown": self.shown.astype("<i4").tobytes(),
            "propensities": self.propensities.astype("<f4").tobytes(),
        }

    @classmethod
    def decode(cls, fields: Mapping[bytes, bytes]) -> "Answer":
        """From the fields of an entry.

        Raises:
            UnreadableEntry: a field is missing, is not of its type, or contradicts another.
        """
        rows = _array(fields, "rows", "<i4")
        scores = _array(fields, "scores", "<f4")
        shown = _array(fields, "shown", "<i4")
        propensities = np.full(len(shown), np.nan, dtype=np.float32)
        if b"propensities" in fields:
            propensities = _array(fields, "propensities", "<f4")
        if len(rows) != len(scores):
            raise UnreadableEntry(f"scores holds {len(scores)} numbers for {len(rows)} rows")
        if len(shown) and not 0 <= shown.min() <= shown.max() < len(rows):
            raise UnreadableEntry(f"shown points beyond the {len(rows)} candidates")
        if len(propensities) != len(shown):
            raise UnreadableEntry(
                f"propensities holds {len(propensities)} numbers for {len(shown)} places"
            )
        return cls(
            request_id=_text(fields, "id"),
            release=_number(fields, "release"),
            timestamp=_number(fields, "timestamp"),
            answered_at=_number(fields, "answered_at"),
            degraded=bool(_number(fields, "degraded")),
            k=_number(fields, "k"),
            context=_field(fields, "context"),
            rows=rows,
            scores=scores,
            shown=shown,
            propensities=propensities,
        )


def connect(url: str) -> redis.Redis:
    """A client for the writer, or who looks at the stream: none of its calls may hang."""
    return open_store(
        url,
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_timeout=_SEND_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class LogWriter:
    """Takes answers without waiting and sends them in one background thread.

    Args:
        client: of the store with the stream.
        stream: its key.
        capacity: answers that may wait. During an outage that is longer the oldest are dropped.
        most_uncollected: answers that the stream may hold, give or take a batch of each process;
            beyond it new ones are dropped.
        remember: if given, is told of answers before they are sent, once or more often.
    """

    def __init__(
        self,
        client: redis.Redis,
        stream: str = STREAM,
        capacity: int = CAPACITY,
        most_uncollected: int = MOST_UNCOLLECTED,
        remember: Callable[[Sequence[Answer]], None] | None = None,
    ) -> None:
        self._client = client
        self._remember = remember
        self._stream = stream
        self._capacity = capacity
        self._most_uncollected = most_uncollected
        self._uncollected = 0  # when the stream was last written
        self._is_full = False
        self._refused = 0  # as it was full, and not told of yet
        self._waiting: deque[Answer] = deque()
        self._sending: list[Answer] = []
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._closing = threading.Event()
        self._thread = self._start()

    def put(self, answer: Answer) -> int:
        """Takes an answer; never blocks on the store and never raises for it.

        Returns:
            How many answers had to be dropped since the last call: the caller counts them.
        """
        with self._lock:
            dropped, self._refused = self._refused, 0
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                dropped += 1
            self._waiting.append(answer)
        if not self._filled.is_set():
            self._filled.set()
        if not self._thread.is_alive():
            self._thread = self._start()
        return dropped

    def close(self, seconds: float = _CLOSE_SECONDS) -> int:
        """Sends what is waiting, for at most `seconds`; returns how many answers were not sent."""
        self._closing.set()
        self._filled.set()
        self._thread.join(seconds)
        with self._lock:
            unsent = len(self._sending) + len(self._waiting)
        if unsent:
            _LOG.error("request log closed with %d answers that the store has not taken", unsent)
        return unsent

    def _start(self) -> threading.Thread:
        # A daemon: a store that does not answer must not keep the process from ending.
        thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while self._take():
            try:
                self._send()
            except STORE_ERRORS as error:
                if pause == _FIRST_PAUSE:
                    _LOG.warning("request log: the store does not take answers: %r", error)
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE

    def _take(self) -> bool:
        """Waits for answers and takes a batch; False once there are none left and none to come."""
        while not self._sending:
            self._filled.wait()
            if len(self._waiting) < _BATCH and not self._closing.is_set():
                time.sleep(_GATHER_SECONDS)
            with self._lock:
                while self._waiting and len(self._sending) < _BATCH:
                    self._sending.append(self._waiting.popleft())
                if not self._waiting and not self._closing.is_set():
                    self._filled.clear()
            if not self._sending and self._closing.is_set():
                return False
        return True

    def _send(self) -> None:
        """Sends the batch; after an error all of it is sent again, which may double entries."""
        if self._remember is not None:
            self._remember(self._sending)
        if self._has_room():
            with self._client.pipeline(transaction=False) as pipeline:
                for answer in self._sending:
                    pipeline.xadd(self._stream, answer.encode())
                pipeline.xlen(self._stream)
                self._uncollected = pipeline.execute()[-1]
        else:
            with self._lock:
                self._refused += len(self._sending)
        self._sending = []

    def _has_room(self) -> bool:
        """Whether the stream may grow; it is asked where it could not when it was last written."""
        if self._uncollected < self._most_uncollected:
            return True
        self._uncollected = self._client.xlen(self._stream)
        was_full, self._is_full = self._is_full, self._uncollected >= self._most_uncollected
        if self._is_full and not was_full:
            _LOG.error(
                "request log: %d answers wait to be collected, new ones are dropped: materialize "
                "request_log, or raise RECSYS_UNCOLLECTED_ANSWERS",
                self._uncollected,
            )
        return not self._is_full


def _field(fields: Mapping[bytes, bytes], name: str) -> bytes:
    try:
        return fields[name.encode()]
    except KeyError:
        raise UnreadableEntry(f"{name} is missing") from None


def _text(fields: Mapping[bytes, bytes], name: str) -> str:
    value = _field(fields, name)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnreadableEntry(f"{name} is {value[:40]!r}, not UTF-8") from None


def _number(fields: Mapping[bytes, bytes], name: str) -> int:
    value = _field(fields, name)
    try:
        return int(value)
    except ValueError:
        raise UnreadableEntry(f"{name} is {value[:40]!r}, not a whole number") from None


def _array(fields: Mapping[bytes, bytes], name: str, dtype: str) -> np.ndarray:
    value = _field(fields, name)
    if len(value) % 4:
        raise UnreadableEntry(f"{name} has {len(value)} bytes, not a multiple of 4")
    return np.frombuffer(value, dtype=dtype)
