"""The store's tables as a Spark session reaches them.

Executors of a cluster read and write S3 themselves, through Hadoop's `s3a://`, which their image
brings along. A session that does all work in this process needs no such library: it reads local
copies of the partitions that it is asked for, and they are gone when the work is done.
"""

import tempfile
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_assets.storage import MissingPartition, Store, Table
from recsys_assets.storage.filesystem import local_path, open_url, read_bytes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_AT_ONCE = 8


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
