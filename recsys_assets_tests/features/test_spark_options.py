"""Options of Spark as data, against what Spark and Hadoop know, and against an API server."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys_assets.features.spark_session import EXECUTOR_TEMPLATE, Driver, Executor, spark_options
from recsys_assets.settings import Cluster, load_settings
from recsys_assets_tests.eks_environment import EKS
from recsys_assets_tests.kubernetes_api import Object, kubernetes_api

DRIVER = Driver(pod="step", host="10.1.2.3")


@pytest.fixture
def cluster() -> Cluster:
    found = load_settings({**EKS, "RECSYS_SPARK_EXECUTORS": "3"}).cluster
    assert found is not None
    return found


def test_a_local_session_listens_to_nobody() -> None:
    options = spark_options(cores=3, memory="1g")

    assert options["spark.master"] == "local[3]"
    assert options["spark.sql.shuffle.partitions"] == "12"
    assert options["spark.driver.bindAddress"] == "127.0.0.1"
    assert not [name for name in options if "kubernetes" in name or "s3a" in name]


def test_a_session_on_a_cluster(cluster: Cluster) -> None:
    options = spark_options(cluster, driver=DRIVER, executor=Executor(cores=2))

    assert options["spark.master"] == "k8s://https://kubernetes.default.svc"
    assert options["spark.driver.host"] == options["spark.driver.bindAddress"] == "10.1.2.3"
    assert options["spark.kubernetes.driver.pod.name"] == "step"
    assert options["spark.kubernetes.namespace"] == "recsys"
    assert options["spark.dynamicAllocation.maxExecutors"] == "3"
    assert options["spark.sql.shuffle.partitions"] == "24"
    assert options["spark.hadoop.fs.s3a.endpoint.region"] == "eu-central-1"
    assert "WebIdentity" in options["spark.hadoop.fs.s3a.aws.credentials.provider"]
    assert not [name for name in options if "key" in name.lower()]


def test_a_result_does_not_depend_on_where_it_is_computed(cluster: Cluster) -> None:
    local, pods = spark_options(), spark_options(cluster, driver=DRIVER)

    differ = {name for name in local if local[name] != pods[name]}
    assert differ == {
        "spark.master",
        "spark.driver.host",
        "spark.driver.bindAddress",
        "spark.sql.shuffle.partitions",
    }


def test_short_work_is_not_optimized_by_java() -> None:
    assert "TieredStopAtLevel" in spark_options(short=True)["spark.driver.extraJavaOptions"]


@pytest.mark.integration
def test_spark_and_hadoop_know_every_option(spark, cluster: Cluster) -> None:
    java = spark.sparkContext._jvm
    for registry in (
        "org.apache.spark.deploy.k8s.Config$",
        "org.apache.spark.sql.internal.SQLConf$",
        "org.apache.spark.internal.config.package$",
    ):
        java.java.lang.Class.forName(registry)
    hadoop = java.org.apache.hadoop.conf.Configuration()
    entry = java.org.apache.spark.internal.config.ConfigEntry

    def known(name: str) -> bool:
        if name.startswith("spark.hadoop.fs.s3a."):
            return hadoop.get(name.removeprefix("spark.hadoop.")) is not None
        return entry.findEntry(name) is not None

    unknown = {name for name in spark_options(cluster, driver=DRIVER) if not known(name)}
    # Read by name only, so no registry has them: each is in Spark's or Hadoop's documentation.
    assert unknown == {
        "spark.app.name",
        "spark.master",
        "spark.hadoop.fs.s3a.endpoint.region",
        "spark.kubernetes.executor.label.app.kubernetes.io/component",
        "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a",
    }


@pytest.mark.integration
def test_the_driver_asks_for_the_executors_that_the_settings_say(tmp_path: Path) -> None:
    """Spark's own client in the driver; no executor ever starts here."""
    import kubernetes
    import kubernetes_validate

    with kubernetes_api() as api:
        kubernetes.config.load_kube_config(config_file=str(api.kubeconfig(tmp_path / "config")))
        step = {"metadata": {"name": "step"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        core = kubernetes.client.CoreV1Api()
        uid = core.create_namespaced_pod("recsys", step).metadata.uid
        pod = _first_executor(api.url, lambda: api.objects("Pod", "recsys")[1:], tmp_path / "log")

    kubernetes_validate.validate(pod, "1.37", strict=True)
    container = pod["spec"]["containers"][0]
    told = {each["name"]: each.get("value") for each in container["env"]}
    assert pod["metadata"]["ownerReferences"][0]["uid"] == uid
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "spark-executor"
    assert pod["spec"]["serviceAccountName"] == "recsys-run"
    assert pod["spec"]["securityContext"]["runAsUser"] == 10001
    assert container["image"] == "recsys-spark:1"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"] == {"cpu": "3", "memory": "10240Mi"}
    assert told["SPARK_DRIVER_URL"] == "spark://CoarseGrainedScheduler@127.0.0.1:7078"
    assert told["SPARK_EXECUTOR_MEMORY"] == "8192m"


def _first_executor(url: str, pods, log: Path) -> Object:
    command = [sys.executable, "-m", "recsys_assets_tests.features.spark_on_pods", url, "step"]
    with log.open("w") as output:
        driver = subprocess.Popen(
            command, env={**os.environ, **EKS}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            while not (found := pods()):
                assert driver.poll() is None, log.read_text()
                time.sleep(0.1)
            return found[0]
        finally:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()


def test_the_template_says_nothing_that_options_say() -> None:
    assert EXECUTOR_TEMPLATE.exists()
    assert "image:" not in EXECUTOR_TEMPLATE.read_text()
