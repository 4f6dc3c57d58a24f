"""Answers that have left the stream and wait for their day's partition, as Parquet files.

    <store>/answers/day=2026-11-23/1795435140000-0_1795435199999-3_10000.parquet
    <store>/answers/rejected/...

A part is named by the first and the last of the stream's entries that it was made of, and by its
rows, so that a listing tells how many wait. It is written once and read a batch of rows at a time.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.storage import Store
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
