"""The sensors under a real daemon, which is killed, over a graph of the same names."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest

from recsys_assets.defs.runs.instance import dagster_environment
from recsys_assets.monitoring.closed_days import close_day
from recsys_assets.retraining.alerts import raised_alerts
from recsys_assets.retraining.evidence import Evidence
from recsys_assets.runtime.processes import Daemon
from recsys_assets.settings import REPOSITORY, load_settings
from recsys_assets.storage import Store
from recsys_assets_tests.waiting import until

pytestmark = pytest.mark.integration

_LOCATION = "recsys_assets_tests.retraining.toy_location"
_LOG_CHARACTERS = 5_000
_START_TIMEOUT = "start_timeout_seconds: 600"


class Deployment:
    """A Dagster instance on disk, its daemon, and the toy graph."""

    def __init__(self, home: Path) -> None:
        self.home = home
        environment = dagster_environment(load_settings({"RECSYS_HOME": str(home)}))
        written = Path(environment["DAGSTER_HOME"], "dagster.yaml")
        config = written.read_text()
        assert _START_TIMEOUT in config
        # A run whose daemon was killed just before it started the process is failed after that.
        written.write_text(config.replace(_START_TIMEOUT, "start_timeout_seconds: 120"))
        self.instance = dg.DagsterInstance.from_config(environment["DAGSTER_HOME"])
        self.daemon = Daemon("dagster-daemon", home / "daemon.pid", home / "daemon.log")
        self._groups: list[int] = []
        self._env = (
            os.environ
            | environment
            | {
                "PYTHONPATH": str(REPOSITORY),
                "RECSYS_HOME": str(home),
                "RECSYS_STORAGE": self.storage_url,
                "RECSYS_DRIFT_DAYS": "1/1",
                "RECSYS_COOLDOWN_DAYS": "1",
            }
        )

    @property
    def storage_url(self) -> str:
        return f"{self.home.as_uri()}/storage"

    def start(self) -> None:
        command = [sys.executable, "-m", "dagster._daemon", "run", "-m", _LOCATION]
        self._groups.append(self.daemon.start(command, self._env))

    def end(self) -> None:
        """Ends the daemon, and the code servers and runs that killed ones left behind."""
        self.daemon.stop()
        self._tell()
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def _tell(self) -> None:
        """What pytest shows of a test that failed: the daemon's log, and what became of runs."""
        print((self.home / "daemon.log").read_text()[-_LOG_CHARACTERS:])  # noqa: T201
        for run in self.instance.get_runs():
            print(run.job_name, run.run_id, run.status, run.tags)  # noqa: T201

    def kill(self, *, everything: bool = False) -> None:
        """`kill -9` of the daemon, or of its code server and runs as well."""
        pid = self.daemon.pid
        assert pid is not None
        (os.killpg if everything else os.kill)(pid, signal.SIGKILL)
        until(lambda: self.daemon.pid is None, "the daemon ends")

    def report(self, day: int, state: str = "drifted") -> None:
        metadata = {"state": state, "live_release": 1, "cause": "price_ratio"}
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                "drift_report", partition=f"2017-10-{day:02d}", metadata=metadata
            )
        )

    def runs(self, job: str = "fine_tune") -> list[dg.DagsterRun]:
        """Oldest first."""
        return list(reversed(self.instance.get_runs(dg.RunsFilter(job_name=job))))

    def pass_over_failures(self) -> None:
        """Lets the daemon believe that it has looked at all runs that have failed."""
        last = self.instance.event_log_storage.get_maximum_record_id()
        self.instance.daemon_cursor_storage.set_cursor_values(
            {f"EVENT_LOG_CONSUMER_CURSOR-{dg.DagsterEventType.RUN_FAILURE.value}": str(last)}
        )

    def days_read(self) -> list[str]:
        """Days whose reports the drift sensor has read."""
        states = self.instance.all_instigator_state()
        (cursor,) = [s.instigator_data.cursor for s in states if s.name == "drift_sensor"]
        return [report.day for report in Evidence.from_json(cursor).reports]

    def succeeded(self, day: int, job: str = "fine_tune") -> bool:
        partition = f"2017-10-{day:02d}"
        return any(
            run.is_success and run.tags["dagster/partition"] == partition for run in self.runs(job)
        )

    def hold(self) -> None:
        """Lets trainings wait from here on."""
        (self.home / "hold").touch()

    def release(self) -> None:
        (self.home / "hold").unlink()

    def training_pid(self) -> int:
        """The process of the training that goes on."""
        file = self.home / "training.pid"
        until(lambda: file.exists() and file.read_text().isdecimal(), "a training starts")
        pid = int(file.read_text())
        file.unlink()
        return pid


@pytest.fixture
def deployment(tmp_path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path)
    deployment.start()
    yield deployment
    deployment.end()


def test_a_closed_day_is_worked_on_and_drift_leads_to_a_promotion(deployment):
    for day in (1, 2):
        close_day(Store(deployment.storage_url), f"2017-10-{day:02d}")
    deployment.report(1)

    until(lambda: deployment.succeeded(1), "a fine-tune of the drifted day")
    until(lambda: deployment.succeeded(2, "daily_loop"), "the daily loop of both days")

    (run,) = deployment.runs()
    assert run.tags["recsys/cause"] == "price_ratio"
    assert run.tags["recsys/requested_by"] == "drift_sensor"
    assert deployment.instance.get_latest_materialization_event(dg.AssetKey("promoted_release"))
    days = [run.tags["dagster/partition"] for run in deployment.runs("daily_loop")]
    assert days == ["2017-10-01", "2017-10-02"]


@pytest.mark.slow
def test_a_daemon_that_is_killed_again_and_again_loses_no_report_and_acts_on_none_twice(
    deployment,
):
    for day in range(1, 7):
        deployment.report(day)
        time.sleep(day)  # so that it is killed at different moments of its work
        deployment.kill()
        deployment.start()

    until(lambda: deployment.succeeded(6), "a fine-tune of the last day")
    first_tries = [run for run in deployment.runs() if run.parent_run_id is None]
    acted_on = [run.tags["recsys/report"] for run in first_tries]
    assert len(acted_on) == len(set(acted_on))
    assert deployment.days_read() == [f"2017-10-{day:02d}" for day in range(1, 7)]


def test_a_training_that_is_killed_is_reported_and_repeated(deployment):
    deployment.hold()
    deployment.report(1)
    os.kill(deployment.training_pid(), signal.SIGKILL)
    deployment.training_pid()
    deployment.release()

    until(lambda: deployment.succeeded(1), "the training is repeated")
    killed, repeated = deployment.runs()
    assert killed.status == dg.DagsterRunStatus.FAILURE
    assert repeated.tags["recsys/report"] == killed.tags["recsys/report"]
    store = Store(deployment.storage_url)
    until(lambda: raised_alerts(store), "an alert")
    assert raised_alerts(store)[0].kind == "run_failed"


@pytest.mark.slow
def test_a_training_that_is_killed_with_everything_around_it_blocks_nothing(deployment):
    deployment.hold()
    deployment.report(1)
    deployment.training_pid()
    deployment.kill(everything=True)
    deployment.report(2)
    deployment.release()
    deployment.start()

    until(lambda: deployment.succeeded(1), "the training is repeated")
    until(lambda: deployment.succeeded(2), "what drifted meanwhile is acted on")
    assert deployment.runs()[0].status == dg.DagsterRunStatus.FAILURE


@pytest.mark.slow
def test_a_killed_training_that_dagster_passes_over_is_repeated_and_alerts_once(deployment):
    deployment.hold()
    deployment.report(1)
    deployment.training_pid()
    deployment.kill(everything=True)
    (killed,) = deployment.runs()
    deployment.instance.report_run_failed(killed)
    deployment.pass_over_failures()
    deployment.release()
    deployment.start()

    until(lambda: deployment.succeeded(1), "the training is repeated")
    assert len(deployment.runs()) == 2
    assert len(raised_alerts(Store(deployment.storage_url))) == 1


@pytest.mark.slow
def test_a_training_that_is_killed_as_it_starts_is_repeated(deployment):
    def is_starting():
        return [run.status for run in deployment.runs()] == [dg.DagsterRunStatus.STARTING]

    deployment.report(1)
    until(is_starting, "a fine-tune starts")
    deployment.kill(everything=True)
    deployment.start()

    until(lambda: deployment.succeeded(1), "the training is repeated")
    assert deployment.runs()[0].status == dg.DagsterRunStatus.FAILURE
