"""The local Spark session, with what every session of this project must have.

Timestamps are UTC, the workers run this Python, nothing listens beyond the loopback interface.
On a cluster, start the session the cluster's way (spark-submit, Spark Connect): the active one is
used, with the cluster's own settings.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA_PACKAGE = "openjdk-17-jre-headless"
_MODULE = "jdk.incubator.vector"
_COLLECTOR = "-XX:+UseParallelGC"
_NO_OPTIMIZER = "-XX:TieredStopAtLevel=1"


class JavaMissing(RuntimeError):
    """There is no Java that Spark can run on."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Spark needs Java 17 or 21 with the module {_MODULE}, but {reason}: "
            f"run `apt-get install -y {JAVA_PACKAGE}`"
        )


def require_java(java: str | None = None) -> str:
    """Path of a Java that Spark can run on.

    Raises:
        JavaMissing: none is found, or the one found lacks the vector module.
    """
    path = java or shutil.which("java")
    if path is None:
        raise JavaMissing("no `java` is on the PATH")
    try:
        modules = subprocess.run(
            [path, "--list-modules"], capture_output=True, text=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise JavaMissing(f"{path} does not run ({error})") from error
    if _MODULE not in modules:
        raise JavaMissing(f"{path} lacks it")
    return path


@contextmanager
def spark_session(
    cores: int = 2, memory: str = "3g", *, short: bool = False
) -> Iterator["SparkSession"]:
    """A Spark session for one piece of work: the active one, or a new one stopped at the end.

    Args:
        cores: Worker threads.
        memory: Heap of the driver, which is also the executor.
        short: The work takes a minute at most. Java's optimizing compiler then costs more than it
            saves: a day of features takes 34 CPU seconds without it, 61 with it.

    Raises:
        JavaMissing: there is no Java that Spark can run on.
    """
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    require_java()
    options = f"{_COLLECTOR} {_NO_OPTIMIZER}" if short else _COLLECTOR
    session = (
        SparkSession.builder.appName("recsys-features")
        .master(f"local[{cores}]")
        .config("spark.driver.memory", memory)
        .config("spark.driver.extraJavaOptions", options)
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", str(4 * cores))
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        # Listing some hundred paths here is quicker than a job that does it.
        .config("spark.sql.sources.parallelPartitionDiscovery.threshold", "10000")
        .config("spark.pyspark.python", sys.executable)
        .config("spark.pyspark.driver.python", sys.executable)
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()
