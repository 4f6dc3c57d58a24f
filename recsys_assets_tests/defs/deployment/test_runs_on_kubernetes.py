"""Runs as pods: what Dagster's own launcher asks an API server for, with the chart's values."""

import dagster as dg
import pytest
from dagster._config import process_config
from dagster._core.launcher.base import WorkerStatus
from dagster_k8s import K8sRunLauncher
from kubernetes.utils.quantity import parse_quantity

from recsys_assets.defs.deployment.steps import Work
from recsys_assets_tests.defs.deployment import chart
from recsys_assets_tests.defs.deployment.cluster_without_nodes import (
    NAMESPACE,
    ROLLBACK,
    VALUES,
    container_of,
    environment_of,
    is_hardened,
    pod_of,
    resources_of,
)

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("overlay", sorted(path.name for path in chart.FOLDER.glob("values*.yaml")))
def test_dagster_knows_every_key_of_the_values(overlay):
    launcher = chart.launcher_config(chart.values(overlay))

    assert process_config(K8sRunLauncher.config_type(), launcher).success
    assert chart.instance_config(chart.values(overlay))["compute_logs"]["config"]["bucket"]


def test_a_run_is_a_job_of_the_code_locations_image(rollback):
    run, job = rollback
    container = container_of(job)

    assert container["image"] == chart.image(VALUES)
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert run.run_id in container["args"][3]
    assert job["metadata"]["labels"]["dagster/job"] == "rollback_release"
    assert job["metadata"]["labels"]["dagster/code-location"] == "recsys"
    assert job["spec"]["template"]["metadata"]["labels"]["dagster/run-id"] == run.run_id


def test_a_run_has_the_settings_and_secrets_by_reference(rollback):
    _, job = rollback
    given = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    sources = container_of(job).get("envFrom", [])
    named = {source[ref]["name"] for source in sources for ref in source}

    assert named == {
        each["name"] for ref in ("envConfigMaps", "envSecrets") for each in given.get(ref, [])
    }
    assert environment_of(job)["DAGSTER_HOME"] == VALUES["global"]["dagsterHome"]
    (password,) = [e for e in container_of(job)["env"] if e["name"] == "DAGSTER_PG_PASSWORD"]
    wanted = {"name": VALUES["global"]["postgresqlSecretName"], "key": "postgresql-password"}
    assert password["valueFrom"] == {"secretKeyRef": wanted}
    mounted = {each["name"] for each in container_of(job)["volumeMounts"]}
    assert mounted <= {each["name"] for each in pod_of(job)["volumes"]}


def test_a_run_has_its_own_account_and_no_more_rights(rollback):
    _, job = rollback

    assert pod_of(job)["serviceAccountName"] == "recsys-run"
    assert pod_of(job)["automountServiceAccountToken"]  # it may start pods for its steps
    assert is_hardened(job)
    assert pod_of(job)["restartPolicy"] == "Never"
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["ttlSecondsAfterFinished"] > 0


def test_the_pod_of_a_run_is_large_enough_for_light_steps(rollback):
    _, job = rollback
    given, needed = container_of(job)["resources"], resources_of(Work.LIGHT)

    for kind in ("requests", "limits"):
        for name, amount in needed[kind].items():
            assert parse_quantity(given[kind][name]) >= parse_quantity(amount)


def test_nobody_moves_the_pod_of_a_run_to_save_a_node(rollback):
    _, job = rollback

    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_a_killed_run_begins_anew_instead_of_going_on():
    """Steps in the run's process cannot be taken up again."""
    assert VALUES["dagsterDaemon"]["runMonitoring"]["maxResumeRunAttempts"] == 0


def test_a_run_that_is_terminated_loses_its_job(cluster):
    run, job = cluster.launch("rollback_release", ROLLBACK)

    assert cluster.instance.run_launcher.terminate(run.run_id)
    assert job is not None
    assert cluster.job(job["metadata"]["name"]) is None
    assert cluster.status(run) == "CANCELING"


def test_a_run_whose_job_fails_is_noticed(cluster):
    run, job = cluster.launch("rollback_release", ROLLBACK)
    name, launcher = job["metadata"]["name"], cluster.instance.run_launcher
    cluster.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name), run.run_id
    )
    record = cluster.instance.get_run_by_id(run.run_id)
    assert launcher.check_run_worker_health(record).status == WorkerStatus.RUNNING
    cluster.monitor()
    assert cluster.status(run) == "STARTED"

    cluster.api.fail_job(NAMESPACE, name)

    assert launcher.check_run_worker_health(record).status == WorkerStatus.FAILED
    cluster.monitor()
    assert cluster.status(run) == "FAILURE"
