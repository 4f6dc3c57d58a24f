"""What a load generator is given and what it gives back, as files."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serving.http2 import DEADLINE_EXCEEDED


@dataclass(frozen=True)
class Plan:
    """What to send.

    Attributes:
        due: seconds after the beginning, ascending, float64 [n].
        payloads: the serialised messages, n.
        address: host:port.
        method: full path of the gRPC method.
        deadline_ms: after which a request counts as failed.
        connections: over which requests go in turn.
        concurrency: 0 sends when due. Otherwise the loop is closed: so many requests are in flight
            all the time, and `due` is not looked at but for its last value, the end.
    """

    due: np.ndarray
    payloads: list[bytes]
    address: str
    method: str
    deadline_ms: int
    connections: int
    concurrency: int = 0

    def save(self, path: Path) -> None:
        """Writes an .npz file."""
        content, ends = pack(self.payloads)
        numbers = [self.deadline_ms, self.connections, self.concurrency]
        np.savez(
            path,
            due=self.due,
            target=np.array([self.address, self.method]),
            numbers=np.array(numbers),
            content=content,
            ends=ends,
        )

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            address, method = file["target"].tolist()
            return cls(
                file["due"],
                unpack(file["content"], file["ends"]),
                address,
                method,
                *file["numbers"].tolist(),
            )


@dataclass
class Record:
    """What came of n requests; times are seconds after the beginning, NaN where there is none."""

    sent: np.ndarray
    done: np.ndarray
    status: np.ndarray
    messages: dict[int, str] = field(default_factory=dict)
    responses: list[bytes] = field(default_factory=list)
    cpu_seconds: float = 0.0

    @classmethod
    def of(cls, count: int) -> "Record":
        """An empty one."""
        return cls(
            np.full(count, np.nan),
            np.full(count, np.nan),
            np.full(count, DEADLINE_EXCEEDED, dtype=np.int64),
            {},
            [b""] * count,
        )

    def save(self, path: Path) -> None:
        """Writes an .npz file."""
        content, ends = pack(self.responses)
        np.savez(
            path,
            sent=self.sent,
            done=self.done,
            status=self.status,
            failed=np.array(list(self.messages), dtype=np.int64),
            messages=np.array(list(self.messages.values()), dtype=np.str_),
            cpu_seconds=self.cpu_seconds,
            content=content,
            ends=ends,
        )

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            messages = dict(zip(file["failed"].tolist(), file["messages"].tolist(), strict=True))
            responses = unpack(file["content"], file["ends"])
            times = file["sent"], file["done"], file["status"]
            return cls(*times, messages, responses, float(file["cpu_seconds"]))


def pack(parts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Many byte strings as two arrays: all bytes uint8, and where each ends int64 [n]."""
    content = np.frombuffer(b"".join(parts), dtype=np.uint8)
    return content, np.cumsum([len(part) for part in parts], dtype=np.int64)


def unpack(content: np.ndarray, ends: np.ndarray) -> list[bytes]:
    """The byte strings that `pack` was given."""
    whole, starts = content.tobytes(), [0, *ends[:-1].tolist()]
    return [whole[begin:end] for begin, end in zip(starts, ends.tolist(), strict=True)]
