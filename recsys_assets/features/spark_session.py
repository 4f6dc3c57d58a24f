"""A Spark session for one piece of work, and the Java that it needs.

`spark_options.py` says what a session is like here and on a cluster. An active session, started
another way (spark-submit, Spark Connect), is used as it is.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recsys_assets.features.spark_options import spark_options
from recsys_assets.settings import WAIT_SECONDS, Cluster
from recsys_assets.waiting import WaitedTooLong

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA_PACKAGE = "openjdk-17-jre-headless"
_MODULE = "jdk.incubator.vector"


class JavaMissing(RuntimeError):
    """There is no Java that Spark can run on."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Spark needs Java 17 or 21 with the module {_MODULE}, but {reason}: "
            f"run `apt-get install -y {JAVA_PACKAGE}`"
        )


def require_java(java: str | None = None, seconds: float = WAIT_SECONDS) -> str:
    """Path of a Java that Spark can run on; it may take so many `seconds` to answer.

    Raises:
        JavaMissing: none is found, or the one found lacks the vector module.
    """
    path = java or shutil.which("java")
    if path is None:
        raise JavaMissing("no `java` is on the PATH")
    try:
        modules = subprocess.run(
            [path, "--list-modules"], capture_output=True, text=True, check=True, timeout=seconds
        ).stdout
    except subprocess.TimeoutExpired:
        raise JavaMissing(str(WaitedTooLong(f"{path} to answer", seconds))) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise JavaMissing(f"{path} does not run ({error})") from error
    if _MODULE not in modules:
        raise JavaMissing(f"{path} lacks it")
    return path


@contextmanager
def spark_session(
    cluster: Cluster | None = None,
    *,
    memory: str = "3g",
    short: bool = False,
    wait_seconds: float = WAIT_SECONDS,
) -> Iterator["SparkSession"]:
    """A Spark session for one piece of work: the active one, or a new one stopped at the end.

    Args:
        cluster: where executors run; None has all work done in this process.
        memory: heap of the driver.
        short: the work takes a minute at most.
        wait_seconds: how long a process of Spark may be silent.

    Raises:
        JavaMissing: there is no Java that Spark can run on.
    """
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    require_java(seconds=wait_seconds)
    options = spark_options(cluster, memory=memory, short=short, wait_seconds=wait_seconds)
    session = SparkSession.builder.config(map=options).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()
