"""From parts to a day's partition, a batch of rows at a time: what is kept is decided beforehand.

Of all rows only keys are held at once, 24 bytes a row, as numbers that stand for ids and requests.
Two of five million ids have the same number once in a million days; the later one is then rejected,
not lost.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum

import numpy as np
import polars as pl
import pyarrow as pa

from recsys_assets.monitoring.answer_parts import (
    ENTRY_ID,
    REJECTED_SCHEMA,
    ROWS,
    batches,
    schema_of,
)
from recsys_assets.storage import Table

_KEYS = np.dtype([("id", np.uint64), ("request", np.uint64), ("answered", np.int64)])
_BUCKETS = 64  # of ids, that are sorted one after another: sorting takes some 60 bytes a row
_REQUEST = ["request_id", "user_id", "timestamp", "device", "answered_at"]


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
