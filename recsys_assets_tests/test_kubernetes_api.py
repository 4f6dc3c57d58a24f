"""The API server that other tests drive clients against."""

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_assets_tests.kubernetes_api import KubernetesApi, Object, kubernetes_api
from recsys_assets_tests.waiting import LIMIT

pytestmark = pytest.mark.integration

POD: Object = {"metadata": {"name": "p", "labels": {"app": "a"}}}
POD["spec"] = {"containers": [{"name": "c", "image": "i"}]}


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with kubernetes_api() as server:
        yield server


def test_kubectl_applies_gets_and_deletes(api: KubernetesApi, tmp_path: Path) -> None:
    configured = f"--kubeconfig={api.kubeconfig(tmp_path / 'config')}"
    manifests = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "recsys"}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "triton", "namespace": "recsys"},
            "spec": {"replicas": 1},
        },
    ]
    for replicas in (1, 2):
        manifests[1]["spec"] = {"replicas": replicas}
        documents = "\n---\n".join(json.dumps(each) for each in manifests)
        subprocess.run(
            ["kubectl", configured, "apply", "--validate=false", "--server-side=false", "-f", "-"],
            input=documents,
            text=True,
            check=True,
            timeout=LIMIT,
        )
    assert [each["metadata"]["name"] for each in api.objects("Namespace")] == ["recsys"]
    assert api.objects("Deployment", "recsys")[0]["spec"] == {"replicas": 2}
    seen = subprocess.run(
        ["kubectl", configured, "get", "deployments,namespaces", "-n", "recsys", "-o", "name"],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    )
    assert seen.stdout.split() == ["deployment.apps/triton", "namespace/recsys"]
    subprocess.run(
        ["kubectl", configured, "delete", "deployment", "triton", "-n", "recsys", "--wait=false"],
        check=True,
        timeout=LIMIT,
    )
    assert api.objects("Deployment") == []


def test_the_python_client_sees_a_pod_start_speak_and_end(
    api: KubernetesApi, tmp_path: Path
) -> None:
    import kubernetes

    kubernetes.config.load_kube_config(config_file=str(api.kubeconfig(tmp_path / "config")))
    core = kubernetes.client.CoreV1Api()
    created = core.create_namespaced_pod("recsys", POD)
    assert (created.metadata.namespace, created.status.phase) == ("recsys", "Pending")
    core.create_namespaced_pod("recsys", {**POD, "metadata": {"name": "other"}})

    found = core.list_namespaced_pod("recsys", field_selector="metadata.name=p").items
    assert [each.metadata.name for each in found] == ["p"]
    assert core.list_namespaced_pod("recsys", label_selector="app=b").items == []

    api.run("recsys", "p")
    api.log("recsys", "p", "one")
    stream = core.read_namespaced_pod_log("p", "recsys", follow=True, _preload_content=False)

    def speak_and_end() -> None:
        api.log("recsys", "p", "two")
        api.end("recsys", "p", 137, "OOMKilled")

    later = threading.Timer(0.1, speak_and_end)
    later.start()
    assert b"".join(stream.stream()) == b"one\ntwo\n"
    later.join()
    status = core.read_namespaced_pod("p", "recsys").status
    assert status.phase == "Failed"
    assert status.container_statuses[0].state.terminated.reason == "OOMKilled"

    core.delete_namespaced_pod("p", "recsys")
    assert [each["metadata"]["name"] for each in api.objects("Pod")] == ["other"]


def test_a_job_fails_when_told(api: KubernetesApi, tmp_path: Path) -> None:
    import kubernetes

    kubernetes.config.load_kube_config(config_file=str(api.kubeconfig(tmp_path / "config")))
    batch = kubernetes.client.BatchV1Api()
    batch.create_namespaced_job("recsys", {"metadata": {"name": "j"}, "spec": {"template": {}}})
    api.fail_job("recsys", "j")
    assert batch.read_namespaced_job_status("j", "recsys").status.failed == 1
