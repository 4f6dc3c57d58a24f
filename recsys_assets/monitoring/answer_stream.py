"""From the stream of answers to parts of `request_log`, a bounded number of entries at a time.

Rows go to the day of their requests.
"""

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import pyarrow as pa
import redis

from recsys_assets.monitoring.answer_parts import (
    ENTRY_ID,
    REJECTED_PARTS,
    REJECTED_SCHEMA,
    ROWS,
    AnswerParts,
    group_of,
)
from recsys_assets.monitoring.answer_table import LoggedAnswer, answer_table, read_context
from recsys_assets.pipeline.request_log import STREAM, Answer, UnreadableEntry
from recsys_assets.releases.release import MissingRelease, Releases
from recsys_assets.triton.repository import item_ids

_PAGE = 500  # entries a call: more would hold the store up for milliseconds
Fields = Mapping[bytes, bytes]
Raw = tuple[bytes, Fields]
_RELEASES = 4  # whose item ids are held: those that were live lately, and what is tried


@dataclass(frozen=True)
class AnswerEntry:
    """One entry of the stream that holds an answer, and the UTC day of its request."""

    entry_id: bytes
    fields: Fields
    logged: LoggedAnswer
    day: str

    @classmethod
    def read(cls, entry_id: bytes, fields: Fields) -> "AnswerEntry":
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
    answers: list[AnswerEntry] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, raw: list[Raw]) -> "Chunk":
        """Of entries, at least one."""
        chunk = cls([entry_id for entry_id, _ in raw])
        for entry_id, fields in raw:
            try:
                chunk.answers.append(AnswerEntry.read(entry_id, fields))
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


@dataclass
class Drained:
    """What has left the stream.

    Attributes:
        answers: how many, by the day of their requests.
        rejected: how many entries.
        unknown_columns: of contexts, that are no online features any more: not kept.
    """

    answers: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    unknown_columns: set[str] = field(default_factory=set)


class Drain:
    """Moves answers from the stream to parts.

    Args:
        parts: take them.
        releases: where the item ids of the logged rows are.
        columns: of `request_log`.
        days: first and last day that are ever collected (YYYY-MM-DD); answers to requests of
            other days are rejected, as nobody would ever take them.
    """

    def __init__(
        self, parts: AnswerParts, releases: Releases, columns: pa.Schema, days: tuple[str, str]
    ) -> None:
        self._parts, self._columns, self._days = parts, columns, days
        self._is_text = {field.name: pa.types.is_string(field.type) for field in columns}

        @lru_cache(_RELEASES)
        def ids_of(release: int) -> pa.Array:
            return pa.array(item_ids(releases.fetch(release), release), pa.string())

        self._ids_of = ids_of

    def run(self, client: redis.Redis, require: Callable[[], None]) -> Drained:
        """Empties the stream, a chunk at a time: what is in a part is cut off, and not before.

        Args:
            client: of the store with the stream.
            require: called before each step that lasts; raises if another process may be at it.
        """
        drained = Drained()
        for raw in chunks(client):
            chunk = Chunk.read(raw)
            for day, rows in self._rows(chunk, drained):
                require()
                self._parts.write(group_of(day), rows)
                drained.answers[day] += rows.num_rows
            if chunk.rejected:
                require()
                self._parts.write(REJECTED_PARTS, chunk.rejected_rows())
                drained.rejected += len(chunk.rejected)
            require()
            chunk.remove(client)
        return drained

    def _rows(self, chunk: Chunk, drained: Drained) -> Iterator[tuple[str, pa.Table]]:
        """The usable answers of each day, as rows with the ids of their entries."""
        groups: dict[str, dict[int, list[AnswerEntry]]] = defaultdict(lambda: defaultdict(list))
        for entry in chunk.answers:
            groups[entry.day][entry.logged.answer.release].append(entry)
        for day, by_release in sorted(groups.items()):
            found = [self._of_release(chunk, *group, drained) for group in by_release.items()]
            tables = [table for table in found if table.num_rows]
            if tables:
                yield day, pa.concat_tables(tables)

    def _of_release(
        self, chunk: Chunk, release: int, entries: Sequence[AnswerEntry], drained: Drained
    ) -> pa.Table:
        try:
            ids = self._ids_of(release)
        except MissingRelease as error:
            for entry in entries:
                chunk.reject(entry.entry_id, entry.fields, str(error))
            ids, entries = pa.array([], pa.string()), []
        sound = [entry for entry in entries if self._is_sound(chunk, entry, len(ids))]
        for entry in sound:
            drained.unknown_columns.update(entry.logged.features.keys() - self._is_text.keys())
        rows = answer_table([entry.logged for entry in sound], ids, self._columns)
        places = [entry.entry_id.decode() for entry in sound]
        return rows.append_column(ENTRY_ID, pa.array(places, pa.string()))

    def _is_sound(self, chunk: Chunk, entry: AnswerEntry, items: int) -> bool:
        """Whether an answer fits its release and the table; one that does not is rejected."""
        fault = self._fault(entry.logged, items) or self._fault_of_day(entry)
        if fault:
            chunk.reject(entry.entry_id, entry.fields, fault)
        return not fault

    def _fault(self, logged: LoggedAnswer, items: int) -> str:
        rows: np.ndarray = logged.answer.rows
        if len(rows) and not 0 <= rows.min() <= rows.max() < items:
            return f"rows point beyond the {items} items of release {logged.answer.release}"
        for name, value in logged.features.items():
            if name in self._is_text and isinstance(value, str) != self._is_text[name]:
                kind = "text" if self._is_text[name] else "number"
                return f"context column {name!r} is {value!r}: {kind} expected"
        return ""

    def _fault_of_day(self, entry: AnswerEntry) -> str:
        first, last = self._days
        if first <= entry.day <= last:
            return ""
        return f"timestamp is of {entry.day}, a day that is never collected: {first} to {last} are"
