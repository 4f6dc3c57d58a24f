"""Parquet tables, whole or in daily partitions.

A partition is one Parquet object, so replacing it is atomic on every object store without a
table format. Where a day outgrows one object (some gigabytes), point `Table` at Iceberg or
Delta; nothing above this module knows the layout except the Spark and Feast readers, which take
it from `Table.path` and `Table.glob`.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.storage.filesystem import children, exists, open_url, write_atomically

_DAY = "day="
_FILE = "data.parquet"
_READERS = 8


class MissingPartition(FileNotFoundError):
    """A partition, or a whole table, that has not been written."""

    def __init__(self, table: str, day: str | None, url: str) -> None:
        what = f"partition {day} of table {table!r}" if day else f"table {table!r}"
        super().__init__(f"{what} does not exist at {url}: materialize it first")


@dataclass(frozen=True)
class Table:
    """A table at `url`; with `day` given, methods address one daily partition (YYYY-MM-DD)."""

    name: str
    url: str

    def path(self, day: str | None = None) -> str:
        """URL of the Parquet object of one partition, or of the whole unpartitioned table."""
        return f"{self.url}/{_DAY}{day}/{_FILE}" if day else f"{self.url}/{_FILE}"

    @property
    def glob(self) -> str:
        """URL pattern of all daily partitions, for engines that read by themselves."""
        return f"{self.url}/{_DAY}*/{_FILE}"

    def write(self, rows: pa.Table, day: str | None = None) -> None:
        """Replaces one partition, or the whole table, in one step."""
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        write_atomically(self.path(day), sink.getvalue())

    def read(self, days: Iterable[str] | None = None, columns: list[str] | None = None) -> pa.Table:
        """Rows of the given partitions in their order, or of the unpartitioned table.

        Raises:
            MissingPartition: a partition has not been written.
        """
        if days is None:
            return self._read_one(None, columns)
        with ThreadPoolExecutor(_READERS) as pool:
            parts = list(pool.map(lambda day: self._read_one(day, columns), days))
        if not parts:
            raise ValueError(f"table {self.name!r}: no day was asked for")
        return pa.concat_tables(parts)

    def row_count(self, days: Iterable[str]) -> int:
        """Rows of the given partitions, from the files' footers alone.

        Raises:
            MissingPartition: a partition has not been written.
        """
        with ThreadPoolExecutor(_READERS) as pool:
            return sum(pool.map(self._rows_of_one, days))

    def days(self) -> list[str]:
        """Days that have a partition, in order."""
        found = [name.removeprefix(_DAY) for name in children(self.url) if name.startswith(_DAY)]
        return [day for day in found if self.has(day)]

    def has(self, day: str | None = None) -> bool:
        """Whether a partition, or the unpartitioned table, has been written."""
        return exists(self.path(day))

    def _rows_of_one(self, day: str) -> int:
        filesystem, path = open_url(self.path(day))
        try:
            with filesystem.open_input_file(path) as source:
                return int(pq.read_metadata(source).num_rows)
        except FileNotFoundError:
            raise MissingPartition(self.name, day, self.url) from None

    def _read_one(self, day: str | None, columns: list[str] | None) -> pa.Table:
        filesystem, path = open_url(self.path(day))
        try:
            with filesystem.open_input_file(path) as source:
                return pq.ParquetFile(source).read(columns=columns)
        except FileNotFoundError:
            raise MissingPartition(self.name, day, self.url) from None
