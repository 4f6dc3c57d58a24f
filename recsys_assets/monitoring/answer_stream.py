"""The stream of answers as its reader sees it: the entries of one day, sorted by their use."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import redis

from recsys_assets.monitoring.answer_table import LoggedAnswer, read_context
from recsys_assets.serving.request_log import STREAM, Answer, UnreadableEntry

_PAGE = 500
_MICROSECONDS = 1_000_000

Fields = Mapping[bytes, bytes]


@dataclass(frozen=True)
class Entry:
    """One entry of the stream that holds an answer."""

    entry_id: bytes
    fields: Fields
    logged: LoggedAnswer


@dataclass
class Batch:
    """Entries of one day.

    Attributes:
        entry_ids: all of them; they are to be removed in the end.
        answers: those that can be used.
        rejected: those that cannot, as rows with `entry_id`, `reason` and `entry`.
        duplicates: how many were dropped.
        waiting: how many entries of other days were left alone.
    """

    entry_ids: list[bytes] = field(default_factory=list)
    answers: list[Entry] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    duplicates: int = 0
    waiting: int = 0

    @classmethod
    def read(cls, client: redis.Redis, day: str) -> "Batch":
        """Reads the stream; an entry that cannot be read counts among those of `day`."""
        batch = cls()
        for entry_id, fields in _entries(client):
            try:
                answer = Answer.decode(fields)
                if _day(answer.timestamp) != day:
                    batch.waiting += 1
                    continue
                batch.answers.append(Entry(entry_id, fields, read_context(answer)))
            except UnreadableEntry as error:
                batch.reject(entry_id, fields, str(error))
            batch.entry_ids.append(entry_id)
        return batch

    def reject(self, entry_id: bytes, fields: Fields, reason: str) -> None:
        """Puts an entry among the rejected ones, with all it holds."""
        entry = {
            name.decode(errors="backslashreplace"): base64.b64encode(value).decode()
            for name, value in fields.items()
        }
        self.rejected.append(
            {"entry_id": entry_id.decode(), "reason": reason, "entry": json.dumps(entry)}
        )

    def drop_duplicates(self, existing: pa.Table | None) -> None:
        """Keeps one answer to each request: the one in `existing`, else the earliest.

        An id that a client has used for two different requests hides the second one, which is
        why that is rejected and not dropped.
        """
        known = _requests(existing) if existing is not None else {}
        kept = []
        for entry in sorted(self.answers, key=lambda entry: entry.logged.answer.answered_at):
            request_id, request = entry.logged.answer.request_id, entry.logged.request
            if request_id not in known:
                known[request_id] = request
                kept.append(entry)
            elif known[request_id] == request:
                self.duplicates += 1
            else:
                reason = f"request id {request_id!r} is that of another request: ids must be unique"
                self.reject(entry.entry_id, entry.fields, reason)
        self.answers = kept

    def remove(self, client: redis.Redis) -> None:
        """Removes exactly these entries from the stream."""
        for start in range(0, len(self.entry_ids), _PAGE):
            client.xdel(STREAM, *self.entry_ids[start : start + _PAGE])


def _entries(client: redis.Redis) -> Iterator[tuple[bytes, Fields]]:
    """All entries up to the last one of now, so that it ends while answers go on."""
    newest = client.xrevrange(STREAM, count=1)
    if not newest:
        return
    start = b"-"
    while page := client.xrange(STREAM, min=start, max=newest[0][0], count=_PAGE):
        yield from page
        start = b"(" + page[-1][0]


def _day(timestamp: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        raise UnreadableEntry(f"timestamp is {timestamp}, not epoch seconds") from None


def _requests(existing: pa.Table) -> dict[str, tuple[str, int, str]]:
    """Request id to user, epoch seconds and device."""
    seconds = existing["timestamp"].cast(pa.int64()).to_numpy() // _MICROSECONDS
    requests = zip(
        existing["user_id"].to_pylist(),
        seconds.tolist(),
        existing["device"].to_pylist(),
        strict=True,
    )
    return dict(zip(existing["request_id"].to_pylist(), requests, strict=True))
