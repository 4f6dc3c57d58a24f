"""Steps as pods: what the executor of a run asks an API server for, by the work of each step."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import kubernetes
import pytest

from recsys_assets.defs.deployment.steps import Work
from recsys_assets_tests.defs.deployment import chart, eks
from recsys_assets_tests.defs.deployment.cluster_without_nodes import (
    VALUES,
    container_of,
    environment_of,
    is_hardened,
    pod_of,
    resources_of,
)

# Whoever waits for a step that waits for another one waits for ever.
pytestmark = pytest.mark.integration


STEPS = {
    "item_first_sold": Work.SPARK,
    "user_attributes": Work.LIGHT,
    "baselines": Work.MEMORY,
    "two_tower": Work.TRAIN,
}


@pytest.fixture(scope="module")
def steps(cluster):
    """Jobs of steps that wait for nothing, one of each class, begun in the pod `run` of a run."""
    api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(cluster.kubeconfig))
    api.create_namespaced_pod("default", {"metadata": {"name": "run"}, "spec": {"containers": []}})
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOSTNAME", "run")  # as Kubernetes sets it
        with cluster.started_steps("initial_pipeline", list(STEPS)) as jobs:
            yield jobs


@pytest.mark.parametrize(("name", "work"), STEPS.items())
def test_a_step_has_a_pod_by_its_work(steps, name, work):
    step = steps[name]

    assert container_of(step)["resources"] == resources_of(work)
    assert pod_of(step)["automountServiceAccountToken"] == (work in (Work.SPARK, Work.TRAIN))
    assert container_of(step)["args"][:3] == ["dagster", "api", "execute_step"]
    assert container_of(step)["image"] == chart.image(VALUES)
    assert pod_of(step)["serviceAccountName"] == "recsys-run"
    assert is_hardened(step)
    assert step["spec"]["ttlSecondsAfterFinished"] > 0


def test_steps_have_what_their_run_has(steps, rollback):
    _, run = rollback
    for step in steps.values():
        assert container_of(step)["envFrom"] == container_of(run)["envFrom"]
        assert container_of(step)["volumeMounts"] == container_of(run)["volumeMounts"]
        assert pod_of(step)["volumes"] == pod_of(run)["volumes"]


def test_steps_go_with_the_pod_of_their_run(steps):
    for step in steps.values():
        (owner,) = step["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("Pod", "run")


@pytest.mark.usefixtures("s3")
def test_a_light_step_needs_no_token(cluster, steps):
    """It runs without a way to Kubernetes, up to the table that is not there."""
    light = steps["user_attributes"]
    config = Path(cluster.kubeconfig)

    hidden = config.rename(config.with_suffix(".hidden"))
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *container_of(light)["args"]],
        env={**os.environ, **eks.ENVIRONMENT, **environment_of(light)},
        check=True,
    )
    hidden.rename(config)

    run = light["metadata"]["labels"]["dagster/run-id"]
    (failed,) = cluster.instance.all_logs(run, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert failed.step_key == "user_attributes"
    assert "MissingPartition" in failed.dagster_event.step_failure_data.error.to_string()
