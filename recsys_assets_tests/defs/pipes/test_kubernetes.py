"""Trainings in pods: Dagster's client against an API server, S3 and real processes.

The API server and the kubelet's part are stand-ins; the process is really started with the pod's
command and environment, and its messages go through an S3 server.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError, DagsterPipesExecutionError
from dagster._core.pipes import utils as pipes_utils

from recsys_assets.defs.pipes.kubernetes import ModelsOnKubernetes
from recsys_assets.settings import load_settings
from recsys_assets_tests.eks_environment import EKS
from recsys_assets_tests.kubernetes_api import KubernetesApi, Object, kubernetes_api
from recsys_assets_tests.waiting import LIMIT

pytestmark = pytest.mark.integration

STORE = "s3://shop/store"
MODULE = "recsys_assets_tests.models.stand_in_training"


@dataclass
class Cluster:
    """The API server, and what its pods have been."""

    api: KubernetesApi
    kubeconfig: Path
    pods: list[Object] = field(default_factory=list)

    def models(self, **changes: Any) -> ModelsOnKubernetes:
        built = ModelsOnKubernetes.from_settings(load_settings(EKS))
        fast = {"kubeconfig": str(self.kubeconfig), "poll_seconds": 0.1, "owner": ""}
        return built.model_copy(update={**fast, **changes})

    def left(self) -> list[Object]:
        return self.api.objects("Pod")

    def fate(self, act: Callable[[Object, str], None]) -> threading.Thread:
        """Does something with the next pod that is created, as the kubelet would."""

        def wait_and_act() -> None:
            while not (found := self.api.objects("Pod", "recsys")):
                time.sleep(0.02)
            self.pods.append(found[-1])
            act(found[-1], found[-1]["metadata"]["name"])

        thread = threading.Thread(target=wait_and_act, daemon=True)
        thread.start()
        return thread

    def kubelet(self, pod: Object, name: str) -> None:
        """Runs the first container of a pod as a process; the role's credentials are added."""
        container = pod["spec"]["containers"][0]
        given = {each["name"]: each["value"] for each in container["env"]}
        machine = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
        self.api.run("recsys", name)
        ended = subprocess.run(
            [sys.executable, *container["command"][1:]],
            env={**machine, "PATH": os.environ["PATH"], **given},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        self.api.log("recsys", name, ended.stdout)
        self.api.end("recsys", name, ended.returncode)


@pytest.fixture
def cluster(
    tmp_path: Path, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    for variable, value in s3_environment.items():
        monkeypatch.setenv(variable, value)
    # A process that dies leaves no last message; Dagster would wait for one.
    monkeypatch.setattr(pipes_utils, "WAIT_FOR_LOGS_AFTER_EXECUTION_INTERVAL", 0)
    with kubernetes_api() as api:
        yield Cluster(api, api.kubeconfig(tmp_path / "kubeconfig"))


def materialize(
    models: ModelsOnKubernetes, instance: dg.DagsterInstance | None = None, **extras: Any
) -> dg.ExecuteInProcessResult:
    @dg.asset(name="model", resource_defs={"models": models})
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        version = models.run(context, MODULE, {"store": STORE, **extras})
        return dg.MaterializeResult(metadata={"version": version})

    return dg.materialize([asset], instance=instance)


def test_a_training_runs_in_a_pod_and_is_seen_epoch_by_epoch(cluster: Cluster) -> None:
    import boto3

    thread = cluster.fate(cluster.kubelet)
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(cluster.models(cpus=5), instance)
        seen = instance.fetch_observations(dg.AssetKey("model"), limit=10).records
    thread.join()

    epochs = [each.asset_observation.metadata for each in reversed(seen)]  # type: ignore[union-attr]
    assert [(each["epoch"].value, each["loss"].value) for each in epochs] == [(1, 0.5), (2, 0.25)]
    version = result.asset_materializations_for_node("model")[0].metadata["version"].value
    s3 = boto3.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="shop")["Contents"]]
    made = [key for key in keys if key.endswith("/threads")]
    assert len(made) == 1 and f"/{version}/" in made[0]
    assert s3.get_object(Bucket="shop", Key=made[0])["Body"].read() == b"5"
    assert not [key for key in keys if "/pipes/" in key]  # messages are forgotten
    assert cluster.left() == []


def test_the_pod_is_what_the_settings_say(cluster: Cluster) -> None:
    import kubernetes_validate

    thread = cluster.fate(cluster.kubelet)
    result = materialize(cluster.models(gpus=1, cpus=4, memory="24Gi"))
    thread.join()

    pod = cluster.pods[0]
    for version in ("1.29", "1.37"):
        kubernetes_validate.validate({"apiVersion": "v1", **pod}, version, strict=True)
    container, labels = pod["spec"]["containers"][0], pod["metadata"]["labels"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    amounts = {"cpu": "4", "memory": "24Gi", "nvidia.com/gpu": "1"}
    assert pod["metadata"]["namespace"] == "recsys"
    assert labels["dagster/run-id"] == result.run_id
    assert labels["recsys/asset"] == "model"
    assert pod["spec"]["serviceAccountName"] == "recsys-run"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert container["image"] == "recsys-training:1"
    assert container["command"] == ["python", "-W", "ignore", "-m", MODULE]
    assert container["resources"] == {"requests": amounts, "limits": amounts}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {each["mountPath"] for each in container["volumeMounts"]} == {"/tmp", "/dev/shm"}  # noqa: S108
    assert {"DAGSTER_PIPES_CONTEXT", "DAGSTER_PIPES_MESSAGES"} <= set(environment)
    assert environment["MALLOC_ARENA_MAX"] == "4"
    assert environment["AWS_REGION"] == "eu-central-1"
    assert not [name for name in environment if "KEY" in name or "SECRET" in name]


def test_a_training_without_gpus_asks_for_no_gpu_node(cluster: Cluster) -> None:
    spec = cluster.models(gpus=1).pod_spec(gpus=0)

    assert "nodeSelector" not in spec
    assert set(spec["containers"][0]["resources"]["limits"]) == {"cpu", "memory"}


def test_the_pod_belongs_to_the_one_that_started_it(cluster: Cluster) -> None:
    import kubernetes

    kubernetes.config.load_kube_config(config_file=str(cluster.kubeconfig))
    step = {"metadata": {"name": "step"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    core = kubernetes.client.CoreV1Api()
    uid = core.create_namespaced_pod("recsys", step).metadata.uid

    def of_the_training(pod: Object, name: str) -> None:
        while name == "step":
            pod = cluster.api.objects("Pod", "recsys")[-1]
            name = pod["metadata"]["name"]
        cluster.pods.append(pod)
        cluster.kubelet(pod, name)

    thread = cluster.fate(of_the_training)
    materialize(cluster.models(owner="step"))
    thread.join()

    (owner,) = cluster.pods[-1]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "step", uid)


def test_an_api_server_that_does_not_answer_for_a_while_ends_no_training(cluster: Cluster) -> None:
    def unheard(pod: Object, name: str) -> None:
        cluster.api.refuse(5)
        cluster.kubelet(pod, name)

    thread = cluster.fate(unheard)
    result = materialize(cluster.models())
    thread.join()

    assert result.success


def _killed_for_memory(api: KubernetesApi, name: str) -> None:
    api.run("recsys", name)
    api.log("recsys", name, "epoch 1 begins")
    api.end("recsys", name, 137, "OOMKilled")


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (_killed_for_memory, ["OOMKilled (exit code 137)", "more memory", "epoch 1 begins"]),
        (
            lambda api, name: api.wait("recsys", name, "ImagePullBackOff", "no such tag"),
            ["ImagePullBackOff (no such tag)", "training image"],
        ),
        (
            lambda api, name: api.schedule("recsys", name, refused="0/3 nodes: no nvidia.com/gpu"),
            ["Unschedulable (0/3 nodes: no nvidia.com/gpu)", "node groups"],
        ),
        (lambda *_: None, ["Pending (it has not started in time)"]),
    ],
)
def test_a_pod_that_fails_is_named_with_the_reason_and_the_remedy(
    cluster: Cluster, act: Callable[[KubernetesApi, str], None], said: list[str]
) -> None:
    thread = cluster.fate(lambda _, name: act(cluster.api, name))

    with pytest.raises(DagsterPipesExecutionError) as raised:
        materialize(cluster.models(start_minutes=0.01))
    thread.join()

    name = cluster.pods[0]["metadata"]["name"]
    for words in [f"Pod recsys/{name}: ", *said]:
        assert words in str(raised.value)
    assert cluster.left() == []


def test_a_pod_whose_node_is_taken_away(cluster: Cluster) -> None:
    import kubernetes

    def take_away(_: Object, name: str) -> None:
        cluster.api.run("recsys", name)
        kubernetes.config.load_kube_config(config_file=str(cluster.kubeconfig))
        kubernetes.client.CoreV1Api().delete_namespaced_pod(name, "recsys")

    thread = cluster.fate(take_away)

    with pytest.raises(DagsterPipesExecutionError, match=r"Gone .* start the run again"):
        materialize(cluster.models())
    thread.join()


def test_a_training_that_fails_says_why_itself(cluster: Cluster) -> None:
    thread = cluster.fate(cluster.kubelet)

    with pytest.raises(DagsterPipesExecutionError, match="loss is not a number"):
        materialize(cluster.models(), fails=True)
    thread.join()


def test_a_training_that_reports_no_version(cluster: Cluster) -> None:
    thread = cluster.fate(cluster.kubelet)

    with pytest.raises(RuntimeError, match="ended without reporting the version"):
        materialize(cluster.models(), forgets=True)
    thread.join()


def test_a_terminated_run_deletes_its_pod(cluster: Cluster) -> None:
    def terminate(_: Object, name: str) -> None:
        cluster.api.run("recsys", name)
        while not cluster.api.requests()[-1][1].endswith(name):  # it is being waited for
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = cluster.fate(terminate)

    with pytest.raises(DagsterExecutionInterruptedError):
        materialize(cluster.models())
    thread.join()

    assert cluster.left() == []


def test_storage_that_cannot_be_read_starts_no_pod(cluster: Cluster) -> None:
    with pytest.raises(Exception, match="NoSuchBucket"):
        materialize(cluster.models(storage="s3://elsewhere/store"))

    assert not [path for method, path in cluster.api.requests() if method == "POST"]


def test_a_deployment_without_a_cluster() -> None:
    with pytest.raises(ValueError, match="set eks"):
        ModelsOnKubernetes.from_settings(load_settings({}))
