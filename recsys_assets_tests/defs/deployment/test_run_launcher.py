import os
import time

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus

from recsys_assets.defs.deployment.run_launcher import LocalRunLauncher

YEARS = 9 * 365 * 86_400.0
GONE = 2**22 + 1  # no pid is larger than 2**22


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def reported(instance, pid):
    """A run whose process has just said that it has this pid."""

    @dg.job
    def job():
        pass

    run = instance.create_run_for_job(job)
    said = EngineEventData({"pid": dg.MetadataValue.text(str(pid))})
    instance.report_engine_event("Started process for run", run, said)
    return run


def health(instance, run):
    launcher = LocalRunLauncher()
    launcher.register_instance(instance)
    return launcher.check_run_worker_health(run).status


def test_a_run_whose_process_lives_is_running(instance):
    assert health(instance, reported(instance, os.getpid())) is WorkerStatus.RUNNING


def test_a_run_whose_process_is_gone_has_failed(instance):
    assert health(instance, reported(instance, GONE)) is WorkerStatus.FAILED


def test_a_pid_that_went_to_a_later_process_is_not_that_of_the_run(instance, monkeypatch):
    real = time.time
    with monkeypatch.context() as years_ago:
        years_ago.setattr(time, "time", lambda: real() - YEARS)
        run = reported(instance, os.getpid())

    assert health(instance, run) is WorkerStatus.FAILED


def test_a_clock_that_was_moved_since_the_machine_started_ends_no_run(instance, monkeypatch):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - YEARS)

    assert health(instance, reported(instance, os.getpid())) is WorkerStatus.RUNNING
