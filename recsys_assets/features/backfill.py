"""Reads event days, lets Spark compute feature snapshots, publishes one object per day.

Executors of a cluster read and write S3 themselves, through Hadoop's `s3a://`, which their image
brings along. A session that does all work in this process needs no such library: it reads local
copies of the partitions that it is asked for, and they are gone when the work is done.

Spark writes a range of days into a staging folder in one job; each day is then
published by the store, atomically, so a reader sees the old day or the new one and a crash leaves
nothing half-written. Publishing passes a day's rows through this process: with a hundred million
users, of whom a tenth change on a day, that is about 2 GB at a time, and the day is then better
published as a table-format commit (Iceberg) by Spark itself; `publish` is the one place to change.
"""

import tempfile
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys_assets.events.contract import CATALOGUE_HISTORY
from recsys_assets.features.declarations import (
    FeatureSet,
    FirstTime,
    WindowAggregate,
)
from recsys_assets.features.spark_batch import (
    CATEGORY,
    compute_snapshots,
    first_events,
    with_categories,
)
from recsys_assets.runtime.pace import Progress, silent
from recsys_assets.settings.days import days_between
from recsys_assets.storage import MissingPartition, Store, Table
from recsys_assets.storage.filesystem import local_path, open_url, read_bytes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_AT_ONCE = 8
_ARROW = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
TIMESTAMP = pa.timestamp("us", tz="UTC")
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class SparkTables:
    """Tables of `store` for `spark`; `copies` holds local copies, None where none are needed."""

    spark: "SparkSession"
    store: Store
    copies: Path | None

    def read(self, name: str) -> "DataFrame":
        """An unpartitioned table.

        Raises:
            MissingPartition: it has not been written.
        """
        return self.spark.read.parquet(spark_url(self._near(name, [None]).path()))

    def read_days(self, name: str, days: Sequence[str]) -> "DataFrame":
        """Daily partitions with their `epoch_day`.

        Raises:
            MissingPartition: names the table and the first day that has not been written.
        """
        from pyspark.sql import functions as f

        table = self.store.table(name)
        missing = sorted(set(days) - set(table.days()))
        if missing:
            raise MissingPartition(name, missing[0], table.url)
        near = self._near(name, days)
        paths = [spark_url(near.path(day)) for day in days]
        frame = self.spark.read.option("basePath", spark_url(near.url)).parquet(*paths)
        return frame.withColumn("epoch_day", f.unix_date(f.col("day").cast("date"))).drop("day")

    def staging(self, name: str) -> str:
        """URL of a new folder that Spark can write to and this process can read."""
        base = self.copies.as_uri() if self.copies else self.store.url
        return f"{base}/staging/{name}-{uuid.uuid4().hex}"

    def _near(self, name: str, days: Sequence[str | None]) -> Table:
        """The table, or a copy of those of its partitions."""
        table = self.store.table(name)
        if self.copies is None:
            return table
        near = Store(self.copies.as_uri()).table(name)
        wanted = [day for day in days if not near.has(day)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda day: _copy(table, near, day), wanted):
                pass
        return near


@contextmanager
def spark_tables(spark: "SparkSession", store: Store) -> Iterator[SparkTables]:
    """The tables for one piece of work, which must be done with them on leaving."""
    is_local = spark.conf.get("spark.master", "").startswith("local")
    if store.url.startswith("file://") or not is_local:
        yield SparkTables(spark, store, None)
        return
    with tempfile.TemporaryDirectory(prefix="spark-tables-") as folder:
        yield SparkTables(spark, store, Path(folder))


def spark_url(url: str) -> str:
    """The same address as Spark's Hadoop file systems know it, which decode no `%xx`."""
    path = local_path(url)
    return f"file://{path}" if path else url.replace("s3://", "s3a://", 1)


def _copy(table: Table, near: Table, day: str | None) -> None:
    content = read_bytes(table.path(day))
    if content is None:
        raise MissingPartition(table.name, day, table.url)
    target = Path(open_url(near.path(day))[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


@dataclass(frozen=True)
class Backfill:
    """Days to compute, and the first day of all history before which there is nothing to read."""

    store: Store
    days: Sequence[str]
    history_start: date

    def __post_init__(self) -> None:
        whole = days_between(date.fromisoformat(self.days[0]), date.fromisoformat(self.days[-1]))
        if list(self.days) != whole:
            raise ValueError(f"days {self.days[0]}..{self.days[-1]} are not one unbroken range")

    @property
    def epoch_days(self) -> tuple[int, int]:
        """First and last day as days since 1970-01-01."""
        return _epoch_day(self.days[0]), _epoch_day(self.days[-1])

    def event_days(self, lookback: int) -> list[str]:
        """Event days to read: the range and `lookback` days before it, within history."""
        first = date.fromisoformat(self.days[0]) - timedelta(days=lookback)
        return days_between(max(first, self.history_start), date.fromisoformat(self.days[-1]))


def snapshot_schema(features: FeatureSet) -> pa.Schema:
    """Arrow schema of a feature set's table."""
    fields = [(name, _ARROW[dtype]) for name, dtype in features.columns.items()]
    return pa.schema([(features.key, pa.string()), ("event_timestamp", TIMESTAMP), *fields])


def backfill_features(
    spark: "SparkSession", features: FeatureSet, work: Backfill, progress: Progress = silent
) -> int:
    """Computes and publishes the snapshots of a range of days; `progress` counts published days.

    Returns:
        Number of rows written.

    Raises:
        MissingPartition: a day of interactions, or of the state of first times, is missing.
    """
    with spark_tables(spark, work.store) as tables:
        events = tables.read_days("interactions", work.event_days(features.lookback_days))
        if any(f.expression == CATEGORY for f in features.of(WindowAggregate)):
            events = with_categories(events, tables.read(CATALOGUE_HISTORY.table))
        first_times = _first_times(tables, features, work)
        rows = compute_snapshots(features, events, work.epoch_days, first_times)
        try:
            return publish(rows, tables, features.name, snapshot_schema(features), work, progress)
        finally:
            spark.catalog.clearCache()


def backfill_first_times(
    spark: "SparkSession",
    key: str,
    feature: FirstTime,
    work: Backfill,
    progress: Progress = silent,
) -> int:
    """Publishes, for each day of a range, when each of its entities had its first event that day.

    A day reads its own events and nothing else, so whatever order days are computed or corrected
    in, the least time of all days is the first. `progress` counts published days.

    Returns:
        Number of rows written.

    Raises:
        MissingPartition: a day of the range has no interactions.
    """
    with spark_tables(spark, work.store) as tables:
        rows = first_events(key, feature, tables.read_days("interactions", list(work.days)))
        schema = pa.schema([(key, pa.string()), ("first_time", pa.int64())])
        return publish(rows, tables, feature.state_table, schema, work, progress)


def publish(
    rows: "DataFrame",
    tables: SparkTables,
    name: str,
    schema: pa.Schema,
    work: Backfill,
    progress: Progress,
) -> int:
    """Writes every day of the range, empty days too, each in one step; returns the row count."""
    staging = tables.staging(name)
    table = work.store.table(name)
    filesystem, path = open_url(staging)
    key = schema.names[0]
    written = 0
    try:
        ordered = rows.repartition("epoch_day").sortWithinPartitions("epoch_day", key)
        ordered.write.partitionBy("epoch_day").parquet(spark_url(staging))
        for number, day in enumerate(work.days, 1):
            folder = f"{path}/epoch_day={_epoch_day(day)}"
            part = _read_staged(filesystem, folder, schema)
            table.write(part, day)
            written += part.num_rows
            progress(number, len(work.days))
    finally:
        if _is_there(filesystem, path):
            filesystem.delete_dir(path)
    return written


def _read_staged(filesystem: pa.fs.FileSystem, folder: str, schema: pa.Schema) -> pa.Table:
    import pyarrow.dataset as ds  # brings pandas along, which Dagster need not load

    if not _is_there(filesystem, folder):
        return schema.empty_table()
    rows = ds.dataset(folder, filesystem=filesystem, format="parquet").to_table(schema.names)
    return rows.cast(schema).sort_by(schema.names[0])


def _is_there(filesystem: pa.fs.FileSystem, path: str) -> bool:
    return filesystem.get_file_info(path).type != pa.fs.FileType.NotFound


def _first_times(tables: SparkTables, features: FeatureSet, work: Backfill) -> "DataFrame | None":
    """Each entity's first event up to the end of the range: what is later than a row is not in it.

    An entity whose first event is after a row's day has no earlier one, so one time serves all
    rows of the range.
    """
    from pyspark.sql import functions as f

    declared = features.of(FirstTime)
    if not declared:
        return None
    days = days_between(work.history_start, date.fromisoformat(work.days[-1]))
    state = tables.read_days(declared[0].state_table, days)
    return state.groupBy(features.key).agg(f.min("first_time").alias("first_time"))


def _epoch_day(day: str | date) -> int:
    value = date.fromisoformat(day) if isinstance(day, str) else day
    return (value - _EPOCH).days
