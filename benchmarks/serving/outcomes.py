"""What came of each request of a load, and the words for it."""

from dataclasses import dataclass

import numpy as np

from benchmarks.serving.http2 import DEADLINE_EXCEEDED, OK
from benchmarks.serving.plan import Record
from benchmarks.serving.wire import decode

ANSWERED = "answered"
REFUSED = "refused"  # there is no place in the queue: stated, and at once
EXPIRED = "expired"  # it waited in the queue for longer than it may: stated as well
DEADLINE = "deadline"  # the client got no answer in time
OTHER = "other"
KINDS = (ANSWERED, REFUSED, EXPIRED, DEADLINE, OTHER)

_REFUSAL_WORDS = ("maximum queue size", "overload", "queue is full")
_EXPIRY_WORDS = ("timeout expired", "deadline passed")


@dataclass(frozen=True)
class Outcomes:
    """n requests in the order in which they were due; times are seconds after the beginning.

    Attributes:
        due: float64 [n]. In a closed loop the moment in which it was sent.
        sent: float64 [n], NaN if it never was.
        done: float64 [n]; without an answer the end of its deadline.
        kind: str [n], of `KINDS`.
        degraded: bool [n], of those answered.
        release: int64 [n], 0 if not answered.
        items: int64 [n].
        priority: int64 [n], 0 is the model's default.
        messages: of failures, by number of the request.
        began_at: the beginning, epoch seconds.
        cpu_seconds: what the generator took.
    """

    due: np.ndarray
    sent: np.ndarray
    done: np.ndarray
    kind: np.ndarray
    degraded: np.ndarray
    release: np.ndarray
    items: np.ndarray
    priority: np.ndarray
    messages: dict[int, str]
    began_at: float
    cpu_seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.due)

    @property
    def latency_ms(self) -> np.ndarray:
        """From when a request was due, so that whatever it waited for counts; float64 [n]."""
        return (self.done - self.due) * 1000

    @property
    def lag_ms(self) -> np.ndarray:
        """By how much the generator itself was late; float64 [n]."""
        return (self.sent - self.due) * 1000

    @property
    def served(self) -> np.ndarray:
        """Answered, or not in time: what is not refused; bool [n]."""
        return np.isin(self.kind, (ANSWERED, DEADLINE))

    def within(self, begin: float, end: float) -> "Outcomes":
        """Requests that were due in [begin, end)."""
        return self.take(np.flatnonzero((self.due >= begin) & (self.due < end)))

    def take(self, rows: np.ndarray) -> "Outcomes":
        """Those of the given numbers, int64 [m]."""
        arrays = {
            name: getattr(self, name)[rows]
            for name in ("due", "sent", "done", "kind", "degraded", "release", "items", "priority")
        }
        messages = {
            new: self.messages[old] for new, old in enumerate(rows.tolist()) if old in self.messages
        }
        return Outcomes(
            **arrays, messages=messages, began_at=self.began_at, cpu_seconds=self.cpu_seconds
        )


def classify(status: int, message: str) -> str:
    """What a gRPC status means, one of `KINDS`."""
    text = message.lower()
    if status == OK:
        return ANSWERED
    if status == DEADLINE_EXCEEDED:
        return DEADLINE
    if any(word in text for word in _REFUSAL_WORDS):
        return REFUSED
    return EXPIRED if any(word in text for word in _EXPIRY_WORDS) else OTHER


def read_record(
    record: Record, due: np.ndarray, priority: np.ndarray, began_at: float, deadline_ms: int
) -> Outcomes:
    """The outcomes of a run of the generator; in a closed loop `due` is the record's `sent`."""
    replies = [decode(response) if response else None for response in record.responses]
    kinds = [
        classify(int(status), record.messages.get(number, ""))
        for number, status in enumerate(record.status)
    ]
    return Outcomes(
        due=due,
        sent=record.sent,
        done=np.where(np.isnan(record.done), due + deadline_ms / 1000, record.done),
        kind=np.array(kinds, dtype=object),
        degraded=np.array([bool(reply and reply.degraded) for reply in replies]),
        release=np.array([reply.release if reply else 0 for reply in replies], dtype=np.int64),
        items=np.array([reply.items if reply else 0 for reply in replies], dtype=np.int64),
        priority=priority,
        messages=record.messages,
        began_at=began_at,
        cpu_seconds=record.cpu_seconds,
    )
