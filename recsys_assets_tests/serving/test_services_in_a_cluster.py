"""Status, up and down where the services are pods."""

from dataclasses import replace

import pytest

from recsys_assets.defs.serving_resources import ServingResource
from recsys_assets.releases.release import Reason
from recsys_assets.rollout import agents
from recsys_assets.rollout.agents import PodState
from recsys_assets.rollout.fleet import CanaryPods, Fleet
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.services import deployment
from recsys_assets.settings import load_settings
from recsys_assets_tests.conftest import free_port

PODS = {
    "10.0.0.1:8080": PodState("10.0.0.1:8080", 2, 2),
    "10.0.0.2:8080": PodState("10.0.0.2:8080", 2, 1, error="release 2 is damaged"),
    "10.0.0.3:8080": PodState("10.0.0.3:8080", 2, 2, degraded=True),
    "10.0.0.4:8080": PodState("10.0.0.4:8080", error="not reached: timed out", asked=False),
    "10.0.1.1:8080": PodState("10.0.1.1:8080", 3, 3),
}
SERVICES = {
    "triton-agents:8080": ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.4:8080"],
    "triton-canary-agents:8080": ["10.0.1.1:8080"],
}


@pytest.fixture
def settings(tmp_path):
    """Of a cluster, but for the store of releases, which is here."""
    loaded = load_settings(
        {
            "RECSYS_DEPLOYMENT": "eks",
            "RECSYS_HOME": str(tmp_path),
            "RECSYS_STORAGE": "s3://shop/recsys",
            "RECSYS_ONLINE_STORE_URL": f"rediss://:secret@127.0.0.1:{free_port()}/0",
            "RECSYS_TRAINING_IMAGE": "training:1",
            "RECSYS_SPARK_IMAGE": "spark:1",
            "RECSYS_SOURCE_URL": "s3://shop/raw",
            "RECSYS_FIRST_DAY": "2017-01-01",
        }
    )
    return replace(loaded, storage_url=tmp_path.as_uri())


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(
        deployment, "Pods", lambda service: agents.Pods(service, SERVICES.__getitem__)
    )
    monkeypatch.setattr(agents, "ask", PODS.__getitem__)


def test_status_has_a_line_for_each_pod(settings, cluster):
    deployment.releases(settings).record(2, (1,), Reason("a test", "pytest"))
    valkey, *pods = deployment.status(settings)
    assert (valkey.state, "secret" in f"{valkey}") == ("stopped", False)
    assert [(pod.name, pod.address, pod.state, pod.detail) for pod in pods] == [
        ("Triton", "10.0.0.1:8080", "healthy", "release 2"),
        (
            "Triton",
            "10.0.0.2:8080",
            "failing",
            "release 1 instead of release 2; release 2 is damaged",
        ),
        ("Triton", "10.0.0.3:8080", "degraded", "release 2"),
        ("Triton", "10.0.0.4:8080", "stopped", "not reached: timed out"),
        ("Canary", "10.0.1.1:8080", "healthy", "release 3"),
    ]


def test_up_and_down_are_for_kubernetes(settings):
    for act in (deployment.up, deployment.down):
        with pytest.raises(ServiceError, match=r"pods of the namespace recsys.*`kubectl scale"):
            act(settings)


def test_promotion_switches_the_fleet(settings):
    assert isinstance(deployment.live_server(settings, print), Fleet)
    resource = ServingResource.from_settings(settings)
    fleet, canary = resource.live_server(print), resource.canary()
    assert isinstance(fleet, Fleet)
    assert isinstance(canary, CanaryPods)
    assert fleet.pods.service == "triton-agents:8080"
    assert fleet.canary == canary.pods
    assert canary.pods.service == "triton-canary-agents:8080"
