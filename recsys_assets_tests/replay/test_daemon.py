"""What a replay waits for, and that it does not wait for what never comes."""

import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import SensorInstigatorData

from recsys_assets.runtime.processes import Daemon
from recsys_assets.settings import load_settings
from replay import daemon
from replay.daemon import DECIDING, DagsterDaemon, ReplayStuck, running_daemon

DAY = "2017-10-01"


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def process(tmp_path):
    """A process in the daemon's place, which does nothing."""
    process = Daemon("dagster-daemon", tmp_path / "daemon.pid", tmp_path / "daemon.log")
    process.start([sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
    yield process
    process.stop()


@pytest.fixture
def running(instance, process):
    return DagsterDaemon(instance, process)


def ran(instance, job, status=dg.DagsterRunStatus.SUCCESS, **tags):
    run = dg.DagsterRun(job_name=job, status=status, tags=tags)
    instance.add_run(run)
    return run


def test_a_days_run_is_found_by_its_partition(instance, running):
    run = ran(instance, "daily_loop", **{"dagster/partition": DAY})
    ran(instance, "daily_loop", **{"dagster/partition": "2017-10-02"})

    assert running.wait_for_day("daily_loop", DAY).run_id == run.run_id


def test_a_day_that_failed_for_good_stops_the_replay(instance, running):
    run = ran(instance, "daily_loop", dg.DagsterRunStatus.FAILURE, **{"dagster/partition": DAY})

    with pytest.raises(ReplayStuck, match=run.run_id):
        running.wait_for_day("daily_loop", DAY)


def test_a_failed_run_that_is_repeated_is_waited_for(instance, running):
    waits = {"dagster/partition": DAY, "dagster/will_retry": "true"}
    ran(instance, "daily_loop", dg.DagsterRunStatus.FAILURE, **waits)

    with pytest.raises(ReplayStuck, match=f"s for daily_loop of {DAY}: raise RECSYS_WAIT_SECONDS"):
        replace(running, wait_seconds=0.01).wait_for_day("daily_loop", DAY)


def test_a_daemon_that_ended_is_not_waited_for(running, process):
    process.stop()

    with pytest.raises(ReplayStuck, match=r"daemon ended while .*daemon\.log.*python -m replay"):
        running.wait_for_day("daily_loop", DAY)


@pytest.mark.parametrize("job", ["fine_tune", "full_retrain", "rollback_release"])
def test_the_live_release_is_changing_until_such_a_run_has_ended(instance, running, job):
    ran(instance, "daily_loop", dg.DagsterRunStatus.STARTED)
    assert not running.is_changing()

    run = ran(instance, job, dg.DagsterRunStatus.STARTED)
    assert running.is_changing()

    instance.report_run_canceled(run)
    assert not running.is_changing()
    running.wait_for_changes()


def ticked(moments, process, goes_on_since=None):
    """Sensors whose last finished ticks began then; of each another one may be in progress.

    They are waited for but shortly.
    """
    states = [
        SimpleNamespace(
            instigator_name=name,
            instigator_data=SensorInstigatorData(
                last_tick_timestamp=at, last_tick_start_timestamp=goes_on_since or at
            ),
        )
        for name, at in moments.items()
    ]
    return DagsterDaemon(SimpleNamespace(all_instigator_state=lambda: states), process, 0.05)


def test_decisions_are_made_when_every_sensor_began_to_look_after_the_day(process):
    ticked(dict.fromkeys(DECIDING, 11.0), process).wait_for_decisions(since=10.0)

    for late in DECIDING:
        with pytest.raises(ReplayStuck, match="a tick of each sensor"):
            ticked(dict.fromkeys(DECIDING, 11.0) | {late: 9.0}, process).wait_for_decisions(10.0)


def test_a_tick_that_goes_on_has_not_decided_yet(process):
    before = dict.fromkeys(DECIDING, 9.0)
    with pytest.raises(ReplayStuck, match="a tick of each sensor"):
        ticked(before, process, goes_on_since=11.0).wait_for_decisions(since=10.0)


def test_the_sensors_that_decide_are_all_that_start_a_change():
    from recsys_assets.definitions import defs

    deciding = {
        sensor.name
        for sensor in defs.sensors
        for target in sensor.targets
        if target.job_name in daemon.CHANGING
    }
    assert deciding == set(DECIDING)


@pytest.mark.integration
def test_a_daemon_that_a_killed_replay_left_is_replaced(tmp_path, instance):
    settings = load_settings({"RECSYS_HOME": str(tmp_path)})
    with running_daemon(settings, instance) as first:
        orphan = first.process.pid
        with running_daemon(settings, instance) as second:
            assert second.process.pid != orphan
            assert not alive(orphan)
        assert second.process.pid is None


def alive(pid):
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False
