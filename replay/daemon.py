"""The real Dagster daemon beside a replay, and waiting for what it does."""

import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import dagster as dg

# Not exported by Dagster 1.13.
from dagster._core.scheduler.instigation import InstigatorState, SensorInstigatorData

from recsys_assets.defs.graph.monitoring.sensors import ONGOING
from recsys_assets.defs.runs.instance import dagster_environment
from recsys_assets.runtime.processes import Daemon
from recsys_assets.runtime.waiting import WaitedTooLong, wait_for
from recsys_assets.settings import REPOSITORY, WAIT_SECONDS, Settings

T = TypeVar("T")

DECIDING = (
    "drift_sensor",
    "business_sensor",
    "business_guard",
    "retrain_sensor",
    "refresh_sensor",
)
ACTING_ON_REPORTS = ("fine_tune", "full_retrain", "rollback_release")
CHANGING = (*ACTING_ON_REPORTS, "refresh_release")
# How much longer than a state work may take: a day's run, trainings, a tick of all sensors.
_DAY, _CHANGE, _TICK = 15, 60, 2
_EXIT_SECONDS = 120.0
_POLL_SECONDS = 0.5


class ReplayStuck(RuntimeError):
    """The daemon, or a run of it, has not done what the replay waits for."""


@dataclass(frozen=True)
class DagsterDaemon:
    """The daemon of a replay, what it works on, and the limit of a state (`waiting.py`)."""

    instance: dg.DagsterInstance
    process: Daemon
    wait_seconds: float = WAIT_SECONDS

    def wait_for_day(self, job: str, day: str) -> dg.DagsterRun:
        """Waits for the run that the daemon starts for a closed day.

        Raises:
            ReplayStuck: it failed, retries included, or took too long, or the daemon ended.
        """
        run = self.wait_for_end(job, day)
        if not run.is_success:
            raise ReplayStuck(f"{job} of {day} failed: run {run.run_id} says why (`recsys ui`)")
        return run

    def wait_for_end(self, job: str, day: str) -> dg.DagsterRun:
        """Waits until the run for a day has ended, well or not, and is not to be repeated.

        Raises:
            ReplayStuck: it took too long, or the daemon ended.
        """
        of_day = dg.RunsFilter(job_name=job, tags={"dagster/partition": day})

        def ended() -> dg.DagsterRun | None:
            run = next(iter(self.instance.get_runs(of_day, limit=1)), None)
            done = run is not None and run.is_finished and not run.is_complete_and_waiting_to_retry
            return run if done else None

        return self._wait(ended, _DAY, f"{job} of {day}")

    def wait_for_decisions(self, since: float, sensors: Collection[str] = DECIDING) -> None:
        """Waits until each of the sensors has looked, beginning after `since` (epoch seconds).

        Raises:
            ReplayStuck: one has not, or the daemon ended.
        """

        def looked() -> bool:
            states = self.instance.all_instigator_state()
            begun = {state.instigator_name: _last_tick_began(state) for state in states}
            return all(begun.get(name, 0.0) > since for name in sensors)

        self._wait(looked, _TICK, "a tick of each sensor")

    def wait_until_idle(self) -> None:
        """Waits until no run of any job is queued, in progress, or to be repeated.

        Raises:
            ReplayStuck: one takes too long, or the daemon ended.
        """
        self._wait(lambda: not _unfinished(self.instance), _CHANGE, "all runs to end")

    def wait_for_changes(self) -> None:
        """Waits until no training, promotion or rollback is queued or in progress.

        Raises:
            ReplayStuck: one takes too long, or the daemon ended.
        """
        self._wait(lambda: not self.is_changing(), _CHANGE, "trainings to end")

    def is_changing(self) -> bool:
        """Whether a training, promotion or rollback is queued or in progress."""
        return any(_unfinished(self.instance, job) for job in CHANGING)

    def _wait(self, look: Callable[[], T | None], limits: int, what: str) -> T:
        def found() -> T | None:
            one = look()
            if not one and self.process.pid is None:
                raise ReplayStuck(f"the Dagster daemon ended while {what} was waited for: {self}")
            return one

        try:
            return wait_for(found, what, limits * self.wait_seconds, _POLL_SECONDS)
        except WaitedTooLong as error:
            raise ReplayStuck(f"{error}; {self}") from None

    def __str__(self) -> str:
        return (
            f"see {self.process.log_file}, then run `python -m replay` again, which goes on where "
            "it stopped"
        )


@contextmanager
def running_daemon(
    settings: Settings,
    instance: dg.DagsterInstance,
    workspace: Path = REPOSITORY / "workspace.yaml",
) -> Iterator[DagsterDaemon]:
    """Runs `dagster-daemon` in a process group of its own, which ends with the context.

    One that a killed replay left behind is killed first, with its runs: two of them would act on
    the same reports. Run monitoring notices that those runs are gone, and starts them again.
    """
    folder = settings.home / "replay"
    process = Daemon("dagster-daemon", folder / "daemon.pid", folder / "daemon.log")
    if process.pid is not None:
        os.killpg(process.pid, signal.SIGKILL)
        process.stop()
    group = process.start(
        [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)],
        {**os.environ, **dagster_environment(settings)},
    )
    try:
        yield DagsterDaemon(instance, process, settings.wait_seconds)
    finally:
        process.stop(_EXIT_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)  # runs that outlive their daemon


def _unfinished(instance: dg.DagsterInstance, job: str | None = None) -> bool:
    """Whether a run of the job, or of any, is queued, in progress, or to be repeated."""
    if instance.get_runs(dg.RunsFilter(job_name=job, statuses=ONGOING), limit=1):
        return True
    newest = instance.get_runs(dg.RunsFilter(job_name=job), limit=10)
    return any(run.is_complete_and_waiting_to_retry for run in newest)


def _last_tick_began(state: InstigatorState) -> float:
    """When the last finished tick of a sensor began, epoch seconds; 0 before the first."""
    data = state.instigator_data
    if not isinstance(data, SensorInstigatorData):
        return 0.0
    # Not `last_tick_start_timestamp`, which is there before the tick has requested its runs.
    return data.last_tick_timestamp or 0.0
