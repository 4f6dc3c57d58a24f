"""The run launcher of a local instance: Dagster's own, which also notices that a run was killed.

Dagster's code server reports a run whose process dies, unless it was killed together with it. Then
the run would count as going on for ever, and nothing would be trained any more. In a cluster
Dagster's `K8sRunLauncher` starts runs and asks Kubernetes whether they live: see
`k8s/dagster/values.yaml`.
"""

import os
import time
from pathlib import Path

import dagster as dg

# Dagster 1.13 exports neither its default launcher nor what a look at a run answers.
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from recsys_assets.runtime.processes import started_at

# Clocks of the process table and of events differ by less.
_SLACK_SECONDS = 60.0
_FIRST_EVENTS = 20


class LocalRunLauncher(DefaultRunLauncher):
    """Starts runs in processes of the code server, and knows by their pid whether they live."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: run monitoring of the daemon asks for each run that is going on."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process that executes the run is alive; assumed if none is known yet."""
        records = self._instance.get_records_for_run(
            run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=_FIRST_EVENTS
        ).records
        for record in records:
            metadata = record.event_log_entry.get_dagster_event().engine_event_data.metadata
            if "pid" in metadata:
                pid = int(str(metadata["pid"].value))
                if _runs_since(pid, record.event_log_entry.timestamp):
                    break
                return CheckRunHealthResult(WorkerStatus.FAILED, f"process {pid} is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def _runs_since(pid: int, moment: float) -> bool:
    """Whether a process with that pid lives that was started by then, in epoch seconds."""
    ticks = started_at(pid)
    if ticks is None:
        return False
    # Not psutil's boot time: a clock that is moved, or faked, does not move this one.
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    started = time.time() - (uptime - ticks / os.sysconf("SC_CLK_TCK"))
    return started <= moment + _SLACK_SECONDS
