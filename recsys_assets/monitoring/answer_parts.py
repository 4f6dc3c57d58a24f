"""Answers that have left the stream and wait for their day's partition, as Parquet files.

    <store>/answers/day=2026-11-23/1795435140000-0_1795435199999-3_10000.parquet
    <store>/answers/rejected/...

A part is named by the first and the last of the stream's entries that it was made of, and by its
rows, so that a listing tells how many wait. It is written once and read a batch of rows at a time.

So it gets into its day's partition: what is kept is decided beforehand. Of all rows only keys are
held at once, 24 bytes a row, as numbers that stand for ids and requests. Two of five million ids
have the same number once in a million days; the later one is then rejected, not lost.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.storage import Store, Table
from recsys_assets.storage.filesystem import files_below, open_file, replacing
from recsys_assets.storage.removal import delete, remove_empty

ROWS = 5_000
"""Rows that are held at once: some 30 MB of answers, and as much again at each step."""
ENTRY_ID = "entry_id"
REJECTED_PARTS = "rejected"
REJECTED_SCHEMA = pa.schema(
    [(ENTRY_ID, pa.string()), ("reason", pa.string()), ("entry", pa.string())]
)
_FOLDER = "answers"
_SUFFIX = ".parquet"
_KEYS = np.dtype([("id", np.uint64), ("request", np.uint64), ("answered", np.int64)])
_BUCKETS = 64  # of ids, that are sorted one after another: sorting takes some 60 bytes a row
_REQUEST = ["request_id", "user_id", "timestamp", "device", "answered_at"]


@dataclass(frozen=True)
class Part:
    """A file of answers, or of rejected entries: its name below `answers/`, and its rows."""

    name: str
    rows: int


class AnswerParts:
    """The parts of a store."""

    def __init__(self, store: Store) -> None:
        self._url = f"{store.url.rstrip('/')}/{_FOLDER}"

    def write(self, group: str, rows: pa.Table) -> None:
        """Writes a part, whole or not at all; the same entries again replace it.

        Args:
            group: `group_of` a day, or `REJECTED_PARTS`.
            rows: of any columns beside `entry_id`, in the order of the stream.
        """
        first, last = rows[ENTRY_ID][0].as_py(), rows[ENTRY_ID][-1].as_py()
        name = f"{group}/{first}_{last}_{rows.num_rows}{_SUFFIX}"
        with replacing(f"{self._url}/{name}") as file:
            pq.write_table(rows, file, compression="zstd")

    def of(self, group: str) -> list[Part]:
        """The parts of a day, or the rejected ones, in the stream's order."""
        return self._all(group)

    def waiting(self) -> Counter[str]:
        """Rows that wait, by group; by one listing."""
        rows: Counter[str] = Counter()
        for part in self._all():
            rows[part.name.split("/")[0]] += part.rows
        return rows

    def url(self, part: Part) -> str:
        """Where a part is."""
        return f"{self._url}/{part.name}"

    def delete(self, parts: Sequence[Part]) -> None:
        """Deletes parts whose rows are in a partition."""
        delete(self._url, [part.name for part in parts])
        remove_empty(self._url, sorted({part.name.split("/")[0] for part in parts}))

    def _all(self, folder: str = "") -> list[Part]:
        below = f"{folder}/" if folder else ""
        found = files_below(f"{self._url}/{folder}".rstrip("/"))
        names = [f"{below}{name}" for name in found if name.endswith(_SUFFIX)]
        parts = [Part(name, int(name.removesuffix(_SUFFIX).rpartition("_")[2])) for name in names]
        return sorted(parts, key=lambda part: _place(part.name))


def group_of(day: str) -> str:
    """The group of the answers to requests of a day (YYYY-MM-DD)."""
    return f"day={day}"


def day_of(group: str) -> str:
    """The day of a group; empty for rejected entries."""
    return group.removeprefix("day=") if group != REJECTED_PARTS else ""


def schema_of(url: str) -> pa.Schema:
    """Columns of a Parquet file."""
    with open_file(url) as source:
        return pq.ParquetFile(source).schema_arrow


def batches(url: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The rows of a Parquet file, at most `ROWS` at a time."""
    with open_file(url) as source:
        for batch in pq.ParquetFile(source).iter_batches(ROWS, columns=columns):
            yield pa.Table.from_batches([batch])


def _place(name: str) -> tuple[int, ...]:
    """What sorts as the stream does: its ids are numbers of different length."""
    first = name.split("/")[-1].split("_")[0]
    return tuple(int(number) for number in first.split("-"))


class RowVerdict(IntEnum):
    """What becomes of a row: an id that is another request's is no repetition, so it is told."""

    KEEP = 0
    REPEATED = 1
    CONTRADICTS = 2


def judge(partition: Sequence[str], parts: Sequence[str]) -> np.ndarray:
    """One answer to each request is kept: that of the partition, else the earliest.

    Args:
        partition: URL of the day's partition, if there is one.
        parts: URLs of parts, in the stream's order.

    Returns:
        `RowVerdict` of each row of all these files, in their order, int8 [n].
    """
    there = [_keys(url, in_partition=True) for url in partition]
    keys = np.concatenate([np.empty(0, _KEYS), *there, *map(_keys, parts)])
    verdicts = np.empty(len(keys), dtype=np.int8)
    bucket = (keys["id"] % _BUCKETS).astype(np.uint8)  # rows of an id are in the same one
    for number in range(_BUCKETS):
        rows = np.flatnonzero(bucket == number)
        verdicts[rows] = _verdicts(keys[rows])
    return verdicts


def first_of_each(urls: Sequence[str], column: str) -> np.ndarray:
    """Whether each row of files is the first with its value: `RowVerdict`, int8 [n]."""
    found = [_hashed(rows[column]) for url in urls for rows in batches(url, [column])]
    values = np.concatenate([np.empty(0, dtype=np.uint64), *found])
    verdicts = np.full(len(values), RowVerdict.REPEATED, dtype=np.int8)
    verdicts[np.unique(values, return_index=True)[1]] = RowVerdict.KEEP
    return verdicts


def rewrite(
    table: Table,
    day: str,
    schema: pa.Schema,
    urls: Sequence[str],
    verdicts: np.ndarray,
    contradicting: Callable[[pa.Table], None] | None = None,
) -> None:
    """Replaces a partition by the rows of files that are kept.

    Args:
        table: of the partition.
        day: YYYY-MM-DD.
        schema: its columns; those that a file lacks are null.
        urls: files, the partition itself perhaps among them.
        verdicts: of each of their rows.
        contradicting: takes the rows of `Verdict.CONTRADICTS`.
    """

    def kept() -> Iterator[pa.Table]:
        start = 0
        for url in urls:
            for rows in batches(url):
                of_rows = verdicts[start : start + rows.num_rows]
                start += rows.num_rows
                if contradicting is not None and (of_rows == RowVerdict.CONTRADICTS).any():
                    contradicting(rows.filter(pa.array(of_rows == RowVerdict.CONTRADICTS)))
                yield _fitted(rows.filter(pa.array(of_rows == RowVerdict.KEEP)), schema)

    table.write_all(schema, _of_size(kept(), ROWS), day)


def with_former(columns: pa.Schema, urls: Iterable[str]) -> pa.Schema:
    """Columns, and behind them those that files have from former times."""
    found = {field.name: field for url in urls for field in schema_of(url)}
    former = [field for name, field in found.items() if name not in (*columns.names, ENTRY_ID)]
    return pa.schema([*columns, *former])


def as_rejected(rows: pa.Table) -> pa.Table:
    """Rows whose id is another request's, with all they hold."""
    reasons = [
        f"request id {name!r} is that of another request: ids must be unique"
        for name in rows["request_id"].to_pylist()
    ]
    entries = [json.dumps(row, default=str) for row in rows.drop_columns([ENTRY_ID]).to_pylist()]
    return pa.table([rows[ENTRY_ID], reasons, entries], schema=REJECTED_SCHEMA)


def _verdicts(keys: np.ndarray) -> np.ndarray:
    """`RowVerdict` of each of some rows, int8 [n]; `keys` are all rows that have their ids."""
    order = np.lexsort((keys["answered"], keys["id"]))
    ids, requests = keys["id"][order], keys["request"][order]
    begins = np.ones(len(ids), dtype=bool)
    begins[1:] = ids[1:] != ids[:-1]
    first = np.maximum.accumulate(np.where(begins, np.arange(len(ids)), 0))
    repeated = np.where(requests == requests[first], RowVerdict.REPEATED, RowVerdict.CONTRADICTS)
    verdicts = np.empty(len(ids), dtype=np.int8)
    verdicts[order] = np.where(begins, RowVerdict.KEEP, repeated)
    return verdicts


def _keys(url: str, in_partition: bool = False) -> np.ndarray:
    """`_KEYS` of each row of a file, [n]; rows of the partition come before all others."""
    found = [np.empty(0, _KEYS)]
    for rows in batches(url, _REQUEST):
        frame = pl.DataFrame(rows)
        asked = pl.concat_str(
            "user_id", pl.col("timestamp").to_physical(), "device", separator="\0"
        )
        keys = np.empty(len(frame), _KEYS)
        keys["id"] = frame["request_id"].hash().to_numpy()
        keys["request"] = frame.select(asked.hash()).to_series().to_numpy()
        answered = frame["answered_at"].to_physical().to_numpy()
        keys["answered"] = np.iinfo(np.int64).min if in_partition else answered
        found.append(keys)
    return np.concatenate(found)


def _hashed(column: pa.ChunkedArray) -> np.ndarray:
    return pl.Series(values=column).hash().to_numpy()


def _fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _of_size(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Small tables put together, as each becomes a row group."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.num_rows for one in waiting) >= rows:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
