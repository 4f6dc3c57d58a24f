"""A Spark session for one piece of work: its options here and on a cluster, its Java, its progress.

An active session, started another way (spark-submit, Spark Connect), is used as it is.

On a cluster the driver is the pod of the step ("client mode") and asks the API server for its
executors itself; a step that ends takes them along. Both images carry the jars that read `s3a://`
(hadoop-aws of the Hadoop inside pyspark) and that commit to it (spark-hadoop-cloud), so nothing is
fetched when a session starts.

No S3 and no executor could be had to try this: the pods that the driver asks for were looked at,
and that Spark and Hadoop know each key.
"""

import math
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_assets.runtime.pace import Progress
from recsys_assets.runtime.waiting import WaitedTooLong
from recsys_assets.settings import WAIT_SECONDS, Cluster

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA_PACKAGE = "openjdk-17-jre-headless"
_MODULE = "jdk.incubator.vector"
_COLLECTOR = "-XX:+UseParallelGC"
_NO_OPTIMIZER = "-XX:TieredStopAtLevel=1"
EXECUTOR_TEMPLATE = Path(__file__).with_name("spark_executor.yaml")
DRIVER_PORT, BLOCKS_PORT = 7078, 7079  # network policies let executors in here
_COMMITS = "org.apache.spark.internal.io.cloud"
_S3A = {
    # Each task uploads where its rows belong, and the job's commit makes all of it visible: the
    # usual way, to rename what was written, is a copy on S3, and half a job can be seen.
    "spark.hadoop.fs.s3a.committer.name": "magic",
    "spark.hadoop.fs.s3a.committer.magic.enabled": "true",
    "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": (
        "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory"
    ),
    "spark.sql.sources.commitProtocolClass": f"{_COMMITS}.PathOutputCommitProtocol",
    "spark.sql.parquet.output.committer.class": f"{_COMMITS}.BindingParquetOutputCommitter",
    # The role of the pod's service account, no keys.
    "spark.hadoop.fs.s3a.aws.credentials.provider": (
        "software.amazon.awssdk.auth.credentials.WebIdentityTokenFileCredentialsProvider"
    ),
    "spark.hadoop.fs.s3a.connection.maximum": "200",
}
_SECONDS = 1.0


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


@dataclass(frozen=True)
class Executor:
    """One executor's pod: memory is the heap, overhead what Java needs beside it.

    Two fit beside what every node runs on one of 8 CPUs.
    """

    cores: int = 3
    memory: str = "8g"
    overhead: str = "2g"


@dataclass(frozen=True)
class Driver:
    """The pod of this process. Kubernetes names the host after it, and resolves that to its IP."""

    pod: str
    host: str

    @classmethod
    def here(cls) -> "Driver":
        """This pod.

        Raises:
            OSError: the host's name does not resolve.
        """
        return cls(socket.gethostname(), socket.gethostbyname(socket.gethostname()))


def spark_options(
    cluster: Cluster | None = None,
    *,
    cores: int = 2,
    memory: str = "3g",
    short: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    driver: Driver | None = None,
    executor: Executor | None = None,
) -> dict[str, str]:
    """Every option of a session.

    Args:
        cluster: where executors run; None has all work done in this process.
        cores: worker threads of a local session.
        memory: heap of the driver, which is also the executor of a local session.
        short: the work takes a minute at most. Java's optimizing compiler then costs more than
            it saves: a day of features takes 34 CPU seconds without it, 61 with it.
        wait_seconds: how long a process of Spark may be silent.
        driver: this pod unless given; unused without a cluster.
        executor: a pod of 3 cores and 10 GiB unless given; unused without a cluster.
    """
    java = f"{_COLLECTOR} {_NO_OPTIMIZER}" if short else _COLLECTOR
    options = {
        "spark.app.name": "recsys-features",
        "spark.driver.memory": memory,
        "spark.driver.extraJavaOptions": java,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # Listing some hundred paths here is quicker than a job that does it.
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "10000",
        "spark.pyspark.python": sys.executable,
        "spark.pyspark.driver.python": sys.executable,
        # Some heartbeats, of 10 s each, must fit in.
        "spark.network.timeout": f"{max(120, math.ceil(wait_seconds))}s",
        "spark.python.authenticate.socketTimeout": f"{math.ceil(wait_seconds)}s",
    }
    if cluster is None:
        return {**options, **_local(cores)}
    pods = _pods(cluster, driver or Driver.here(), executor or Executor())
    return {**options, **pods, **_S3A, "spark.hadoop.fs.s3a.endpoint.region": cluster.region}


def _local(cores: int) -> dict[str, str]:
    """Nothing listens beyond the loopback interface."""
    return {
        "spark.master": f"local[{cores}]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": str(4 * cores),
    }


def _pods(cluster: Cluster, driver: Driver, executor: Executor) -> dict[str, str]:
    """As many executors as there is work for; one that idles with no shuffle files goes."""
    cores = cluster.spark_executors * executor.cores
    kubernetes = {
        "namespace": cluster.namespace,
        "container.image": cluster.spark_image,
        "authenticate.executor.serviceAccountName": cluster.service_account,
        # Executors belong to this pod: Kubernetes deletes them after it, however it ended.
        "driver.pod.name": driver.pod,
        "executor.podTemplateFile": EXECUTOR_TEMPLATE.as_uri(),
        "executor.label.app.kubernetes.io/component": "spark-executor",
        "executor.request.cores": str(executor.cores),
        "executor.limit.cores": str(executor.cores),
    }
    return {
        "spark.master": cluster.spark_master,
        "spark.driver.host": driver.host,
        # Executors are told this address, not the host's: it must be one that they can reach.
        "spark.driver.bindAddress": driver.host,
        "spark.driver.port": str(DRIVER_PORT),
        "spark.blockManager.port": str(BLOCKS_PORT),
        "spark.executor.cores": str(executor.cores),
        "spark.executor.memory": executor.memory,
        "spark.executor.memoryOverhead": executor.overhead,
        "spark.executor.extraJavaOptions": _COLLECTOR,
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.initialExecutors": "1",
        "spark.dynamicAllocation.maxExecutors": str(cluster.spark_executors),
        "spark.sql.shuffle.partitions": str(4 * cores),
        **{f"spark.kubernetes.{name}": value for name, value in kubernetes.items()},
    }


@contextmanager
def told_tasks(spark: "SparkSession", progress: Progress) -> Iterator[None]:
    """Counts tasks of the stages that run, while the work inside goes on.

    A later stage becomes known when it begins, so the total grows.
    """
    tracker = spark.sparkContext.statusTracker()
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(_SECONDS):
            stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            running = [stage for stage in stages if stage is not None]
            if running:
                progress(
                    sum(stage.numCompletedTasks for stage in running),
                    sum(stage.numTasks for stage in running),
                )

    thread = threading.Thread(target=tell, name="Spark tasks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
