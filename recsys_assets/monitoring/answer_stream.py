"""The stream of answers as its reader sees it: a bounded number of entries at a time."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import redis

from recsys_assets.monitoring.answer_parts import REJECTED_SCHEMA, ROWS
from recsys_assets.monitoring.answer_table import LoggedAnswer, read_context
from recsys_assets.serving.request_log import STREAM, Answer, UnreadableEntry

_PAGE = 500  # entries a call: more would hold the store up for milliseconds

Fields = Mapping[bytes, bytes]
Raw = tuple[bytes, Fields]


@dataclass(frozen=True)
class Entry:
    """One entry of the stream that holds an answer, and the UTC day of its request."""

    entry_id: bytes
    fields: Fields
    logged: LoggedAnswer
    day: str

    @classmethod
    def read(cls, entry_id: bytes, fields: Fields) -> "Entry":
        """Of what the stream holds.

        Raises:
            UnreadableEntry: it holds no answer.
        """
        answer = Answer.decode(fields)
        return cls(entry_id, fields, read_context(answer), _day(answer.timestamp))


@dataclass
class Chunk:
    """Entries that follow one another.

    Attributes:
        entry_ids: all of them; they are to be removed in the end.
        answers: those that can be used.
        rejected: those that cannot, as rows of `REJECTED_SCHEMA`.
    """

    entry_ids: list[bytes]
    answers: list[Entry] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, raw: list[Raw]) -> "Chunk":
        """Of entries, at least one."""
        chunk = cls([entry_id for entry_id, _ in raw])
        for entry_id, fields in raw:
            try:
                chunk.answers.append(Entry.read(entry_id, fields))
            except UnreadableEntry as error:
                chunk.reject(entry_id, fields, str(error))
        return chunk

    def reject(self, entry_id: bytes, fields: Fields, reason: str) -> None:
        """Puts an entry among the rejected ones, with all it holds."""
        entry = {
            name.decode(errors="backslashreplace"): base64.b64encode(value).decode()
            for name, value in fields.items()
        }
        self.rejected.append(
            {"entry_id": entry_id.decode(), "reason": reason, "entry": json.dumps(entry)}
        )

    def rejected_rows(self) -> pa.Table:
        """The rejected entries in the stream's order."""
        places = {entry_id.decode(): place for place, entry_id in enumerate(self.entry_ids)}
        rows = sorted(self.rejected, key=lambda row: places[row["entry_id"]])
        return pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA)

    def remove(self, client: redis.Redis) -> None:
        """Cuts the stream after these entries, which are its first ones."""
        milliseconds, number = self.entry_ids[-1].split(b"-")
        after = b"%s-%d" % (milliseconds, int(number) + 1)
        for entry_id in (*self.entry_ids[_PAGE::_PAGE], after):
            client.xtrim(STREAM, minid=entry_id, approximate=False)


def chunks(client: redis.Redis) -> Iterator[list[Raw]]:
    """The stream's entries up to the last one of now, so that it ends while answers go on.

    They come by `ROWS`: each takes some 7 kB as objects, and as much again as a row.
    """
    newest = client.xrevrange(STREAM, count=1)
    if not newest:
        return
    start, chunk = b"-", []
    while page := client.xrange(STREAM, min=start, max=newest[0][0], count=min(_PAGE, ROWS)):
        start = b"(" + page[-1][0]
        chunk += page
        if len(chunk) >= ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def length(client: redis.Redis) -> int:
    """Answers that wait in the stream."""
    return int(client.xlen(STREAM))


def _day(timestamp: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        raise UnreadableEntry(f"timestamp is {timestamp}, not epoch seconds") from None
