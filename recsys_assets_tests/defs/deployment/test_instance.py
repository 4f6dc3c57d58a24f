"""Which Dagster instance a command opens, and what it leaves alone."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from recsys_assets.defs.graph.features.assets import ONLINE_STORE_POOL
from recsys_assets.defs.runs.instance import dagster_environment, open_instance, process_tag
from recsys_assets.settings import InvalidSetting, load_settings
from recsys_assets_tests.defs.deployment import eks

GONE = {"recsys/pid": str(2**22)}  # above the highest pid that Linux gives


@dg.op
def work(): ...


@dg.job
def working():
    work()


def started_run(instance, tags):
    run = instance.create_run_for_job(working, tags=tags, status=dg.DagsterRunStatus.STARTED)
    return run.run_id


def statuses(settings, *run_ids):
    with open_instance(settings) as instance:
        return [instance.get_run_by_id(run_id).status.value for run_id in run_ids]


def test_here_a_run_whose_process_is_gone_has_failed(tmp_path):
    settings = load_settings({"RECSYS_HOME": str(tmp_path)})
    with open_instance(settings) as instance:
        gone, lives = started_run(instance, GONE), started_run(instance, process_tag())

    assert statuses(settings, gone, lives) == ["FAILURE", "STARTED"]


def test_a_run_whose_process_is_gone_is_in_no_pool_any_more(tmp_path):
    settings = load_settings({"RECSYS_HOME": str(tmp_path)})
    with open_instance(settings) as instance:
        pools = instance.event_log_storage
        pools.initialize_concurrency_limit_to_default(ONLINE_STORE_POOL)
        gone = started_run(instance, GONE)
        assert pools.claim_concurrency_slot(ONLINE_STORE_POOL, gone, "online_refresh").is_claimed
        assert not pools.claim_concurrency_slot(ONLINE_STORE_POOL, "other", "step").is_claimed

    with open_instance(settings) as instance:
        assert not instance.event_log_storage.get_concurrency_info(ONLINE_STORE_POOL).claimed_slots


@pytest.mark.parametrize(("given", "seconds"), [({}, 600), ({"RECSYS_WAIT_SECONDS": "7200"}, 7200)])
def test_dagster_waits_as_long_as_the_settings_allow(tmp_path, given, seconds):
    settings = load_settings({"RECSYS_HOME": str(tmp_path), **given})
    with open_instance(settings) as instance:
        assert instance.run_monitoring_start_timeout_seconds == seconds
        assert instance.code_server_process_startup_timeout == seconds
        assert instance.code_server_reload_timeout == seconds
    calls = """
from dagster._grpc import client
print(client.DEFAULT_GRPC_TIMEOUT, client.DEFAULT_REPOSITORY_GRPC_TIMEOUT)
print(client.DEFAULT_SCHEDULE_GRPC_TIMEOUT, client.DEFAULT_SENSOR_GRPC_TIMEOUT)
"""
    environment = os.environ | dagster_environment(settings)
    told = subprocess.run(
        [sys.executable, "-c", calls], env=environment, check=True, capture_output=True, text=True
    )
    assert told.stdout.split() == [str(seconds)] * 4
    assert environment["DAGSTER_HOME"] == str(tmp_path / "dagster")


@pytest.fixture
def mounted(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return tmp_path


def on_cluster(home):
    return load_settings({**eks.ENVIRONMENT, "DAGSTER_HOME": str(home)})


def test_in_a_cluster_a_pid_of_another_pod_says_nothing(mounted):
    settings = on_cluster(mounted)
    with open_instance(settings) as instance:
        gone = started_run(instance, GONE)

    assert statuses(settings, gone) == ["STARTED"]
    assert instance.root_directory == os.fspath(mounted)


@pytest.mark.parametrize("home", ["", "/nowhere", "."])
def test_in_a_cluster_no_instance_is_begun_where_none_is_mounted(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InvalidSetting, match=r"DAGSTER_HOME=.*ConfigMap dagster-instance"):
        open_instance(on_cluster(home))
    assert list(tmp_path.iterdir()) == []
