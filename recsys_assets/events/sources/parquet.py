"""A shop's own data: Parquet files in the contract, under a folder or an S3 prefix.

    <url>/interactions/**/*.parquet     anywhere below, or in folders day=YYYY-MM-DD
    <url>/items.parquet
    <url>/users.parquet
    <url>/promotions.parquet            optional
    <url>/withdrawn_items.parquet       optional

A folder `day=` says on which day its files were delivered. Reading one event day then opens the
folders of that day and of the `LATE_DAYS` after it. Files outside such folders may hold any
days; row groups that cannot concern the days wanted are skipped by their statistics, and a row
without a usable time is placed on the newest day that its file has. Files and folders whose name
starts with a dot or an underscore are left alone. Of other files only `*.parquet` are read; a
delivery without any of them is an error, as its events would be missed without a word.
"""

import json
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.events.contract import (
    DELIVERED_DAY,
    INTERACTIONS,
    ITEMS,
    LATE_DAYS,
    PROMOTIONS,
    SOURCE_FILE,
    USERS,
    WITHDRAWN_ITEMS,
    BrokenInput,
    Contract,
)
from recsys_assets.events.validation import usable_time
from recsys_assets.settings.days import midnight
from recsys_assets.storage.filesystem import below, exists, files_below, local_path, open_file
from recsys_assets.storage.s3 import StorageUnavailable

_READERS = 8
_DAY_SECONDS = 86_400
_TICKS = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_DAY_FOLDER = re.compile(r"/day=([^/]*)/")


@dataclass(frozen=True)
class _File:
    name: str
    day: date | None


class ParquetSource:
    """Tables at `url` (`file://` or `s3://`); `last_day` None means that days go on."""

    name = "parquet"

    def __init__(self, url: str, first_day: date, last_day: date | None) -> None:
        self.url = url.rstrip("/")
        self.first_day = first_day
        self.last_day = last_day

    @cached_property
    def user_attributes(self) -> tuple[str, ...]:
        """The columns of users.parquet beside `user_id`."""
        with self._opened("users.parquet") as parquet:
            return tuple(USERS.extra_names(parquet.schema_arrow))

    def interactions(self, days: Collection[date]) -> pl.DataFrame:
        """Rows of all files that can concern the given days."""
        wanted = frozenset(days)
        files = self._readable(wanted)
        with ThreadPoolExecutor(_READERS) as pool:
            parts = list(pool.map(lambda file: self._rows(file, wanted), files))
        return pl.concat(parts) if parts else _frame(INTERACTIONS.schema.empty_table(), "", None)

    def items(self) -> pa.Table:
        """items.parquet with its extra columns."""
        return self._whole("items", ITEMS)

    def users(self) -> pa.Table:
        """users.parquet with its attributes."""
        return self._whole("users", USERS)

    def promotions(self) -> pa.Table:
        """promotions.parquet, or no rows where there is no such file."""
        return self._optional(PROMOTIONS)

    def withdrawn_items(self) -> pa.Table:
        """withdrawn_items.parquet, or no rows where there is no such file."""
        return self._optional(WITHDRAWN_ITEMS)

    def _files(self) -> list[_File]:
        found = [path for path in files_below(f"{self.url}/interactions") if not _hidden(path)]
        if not any(map(_is_read, found)):
            others = f", only {found[0]} and the like" if found else ""
            raise BrokenInput(
                f"{self.url}/interactions",
                None,
                f"there is no such folder, or no file *.parquet in it{others}",
                "deliver Parquet files there, or correct RECSYS_SOURCE_URL",
            )
        return [
            _File(f"interactions/{path}", self._folder_day(f"interactions/{path}"))
            for path in found
        ]

    def _readable(self, wanted: frozenset[date]) -> list[_File]:
        """The files to read for some days.

        Raises:
            BrokenInput: what was delivered on a day that they look at has only other names.
        """
        files = [file for file in self._files() if _concerns(file, wanted)]
        readable = [file for file in files if _is_read(file.name)]
        days = {file.day for file in readable}
        for file in files:
            if file.day is not None and file.day not in days:
                raise BrokenInput(
                    self._path(file.name),
                    None,
                    "its name does not end in .parquet, and nothing else was delivered that day",
                    "give Parquet files that ending, or take the folder away if it has no events",
                )
        return readable

    def _folder_day(self, name: str) -> date | None:
        match = _DAY_FOLDER.search(name)
        if match is None:
            return None
        try:
            return date.fromisoformat(match.group(1))
        except ValueError:
            problem = f"its folder day={match.group(1)} is no day"
            raise BrokenInput(self._path(name), None, problem, "use day=YYYY-MM-DD") from None

    def _opened(self, name: str) -> pq.ParquetFile:
        path = self._path(name)
        try:
            return pq.ParquetFile(open_file(below(self.url, name)))
        except FileNotFoundError:
            raise BrokenInput(
                path, None, "the file does not exist", "deliver it, see the data contract"
            ) from None
        except StorageUnavailable:
            raise
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable(path, error) from error

    def _path(self, name: str) -> str:
        """The file as its owner names it."""
        url = below(self.url, name)
        return str(local_path(url) or url)

    def _optional(self, contract: Contract) -> pa.Table:
        if not exists(f"{self.url}/{contract.table}.parquet"):
            return contract.schema.empty_table()
        return self._whole(contract.table, contract)

    def _whole(self, table: str, contract: Contract) -> pa.Table:
        name = f"{table}.parquet"
        path = self._path(name)
        with self._opened(name) as parquet:
            contract.check(parquet.schema_arrow, path)
            try:
                rows = parquet.read()
            except StorageUnavailable:
                raise
            except (pa.ArrowInvalid, OSError) as error:
                raise _unreadable(path, error) from error
        return contract.conform(rows, path)

    def _rows(self, file: _File, wanted: frozenset[date]) -> pl.DataFrame:
        path = self._path(file.name)
        with self._opened(file.name) as parquet:
            INTERACTIONS.check(parquet.schema_arrow, path)
            columns = [name for name in INTERACTIONS.names if name in parquet.schema_arrow.names]
            groups = [
                group
                for group in range(parquet.num_row_groups)
                if file.day is not None or _may_concern(parquet.metadata.row_group(group), wanted)
            ]
            try:
                rows = INTERACTIONS.conform(parquet.read_row_groups(groups, columns), path)
                return self._placed(_frame(rows, file.name, file.day), parquet, file, wanted)
            except StorageUnavailable:
                raise
            except (pa.ArrowInvalid, OSError) as error:
                raise _unreadable(path, error) from error

    def _placed(
        self, rows: pl.DataFrame, parquet: pq.ParquetFile, file: _File, wanted: frozenset[date]
    ) -> pl.DataFrame:
        """Gives rows without a usable time the newest day of their file as day of delivery."""
        if file.day is not None:
            return rows
        event_day = usable_time(datetime.now(UTC)).dt.date()
        relevant = rows.filter(event_day.is_in(list(wanted)) | event_day.is_null())
        if not relevant.select(event_day.is_null().any()).item():
            return relevant
        times = INTERACTIONS.conform(
            parquet.read(INTERACTIONS.required_names), self._path(file.name)
        )
        newest = _frame(times, file.name, None).select(event_day.max()).item()
        return relevant.with_columns(
            pl.when(event_day.is_null()).then(pl.lit(self._within(newest))).alias(DELIVERED_DAY)
        )

    def _within(self, day: date | None) -> date:
        newest = max(day or self.first_day, self.first_day)
        return min(newest, self.last_day or newest)


def _is_read(path: str) -> bool:
    return path.endswith(".parquet")


def _hidden(path: str) -> bool:
    """Whether a writer marks the file as unfinished or its own, as Spark does."""
    return any(part[0] in "._" for part in path.split("/"))


def _frame(rows: pa.Table, file: str, day: date | None) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(rows)).with_columns(
        pl.lit(file, pl.String).alias(SOURCE_FILE), pl.lit(day, pl.Date).alias(DELIVERED_DAY)
    )


def _concerns(file: _File, wanted: frozenset[date]) -> bool:
    if file.day is None:
        return True
    delivered = {file.day - timedelta(days=late) for late in range(LATE_DAYS + 1)}
    return not delivered.isdisjoint(wanted)


def _may_concern(group: pq.RowGroupMetaData, wanted: Collection[date]) -> bool:
    """Whether a row group may hold rows of the wanted days, or rows without a usable time."""
    columns = (group.column(index) for index in range(group.num_columns))
    times = next(column for column in columns if column.path_in_schema == "timestamp")
    bounds = times.statistics
    if bounds is None or not bounds.has_min_max or bounds.null_count:
        return True
    ticks = _TICKS[json.loads(bounds.logical_type.to_json())["timeUnit"]]
    low, high = bounds.min_raw // ticks, bounds.max_raw // ticks
    if low < 0 or high > datetime.now(UTC).timestamp():
        return True
    starts = (midnight(day).timestamp() for day in wanted)
    return any(low <= start + _DAY_SECONDS and start <= high for start in starts)


def _unreadable(path: str, error: Exception) -> BrokenInput:
    return BrokenInput(
        path, None, f"it cannot be read as Parquet ({error})", "deliver the whole file again"
    )
