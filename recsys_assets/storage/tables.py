"""Parquet tables, whole or in daily partitions.

A partition is one Parquet object, so replacing it is atomic on every object store without a
table format. Where a day outgrows one object (some gigabytes), point `Table` at Iceberg or
Delta; nothing above this module knows the layout except the Spark and Feast readers, which take
it from `Table.path` and `Table.glob`.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.storage.filesystem import (
    exists,
    folders_with,
    open_file,
    replacing,
    versions_in_folders,
)
from recsys_assets.storage.s3 import ReplacedMeanwhile

_DAY = "day="
_FILE = "data.parquet"
_READERS = 8
_REPLACED = 3

_Read = TypeVar("_Read")


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
        with replacing(self.path(day)) as file:
            pq.write_table(rows, file, compression="zstd")

    def write_all(self, schema: pa.Schema, parts: Iterable[pa.Table], day: str) -> None:
        """Replaces one partition by rows that are not all in memory; each part is a row group."""
        with (
            replacing(self.path(day)) as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for rows in parts:
                writer.write_table(rows)

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
        found = folders_with(self.url, _FILE)
        return [name.removeprefix(_DAY) for name in found if name.startswith(_DAY)]

    def versions(self) -> dict[str, str]:
        """Days that have a partition, each with what tells this version of it from others."""
        found = versions_in_folders(self.url, _FILE)
        return {
            name.removeprefix(_DAY): version
            for name, version in sorted(found.items())
            if name.startswith(_DAY)
        }

    def has(self, day: str | None = None) -> bool:
        """Whether a partition, or the unpartitioned table, has been written."""
        return exists(self.path(day))

    def _rows_of_one(self, day: str) -> int:
        return self._opened(day, lambda file: int(file.metadata.num_rows))

    def _read_one(self, day: str | None, columns: list[str] | None) -> pa.Table:
        return self._opened(day, lambda file: file.read(columns=columns))

    def _opened(self, day: str | None, read: Callable[[pq.ParquetFile], _Read]) -> _Read:
        """What is read of one object, all of it from before a replacement or all from after."""
        for _ in range(_REPLACED):
            try:
                return self._once(day, read)
            except ReplacedMeanwhile:
                continue
        return self._once(day, read)

    def _once(self, day: str | None, read: Callable[[pq.ParquetFile], _Read]) -> _Read:
        try:
            with open_file(self.path(day)) as source:
                return read(pq.ParquetFile(source, pre_buffer=True))
        except FileNotFoundError:
            raise MissingPartition(self.name, day, self.url) from None
