"""CPU time and memory of processes."""

from collections.abc import Mapping
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class ProcessUsage:
    """CPU seconds since a process began, and its memory in megabytes (10^6 bytes).

    `resident_mb` counts shared pages in full, `proportional_mb` divided among who shares them.
    """

    cpu_seconds: float
    resident_mb: float
    proportional_mb: float


def usage_of(processes: Mapping[str, int]) -> dict[str, ProcessUsage]:
    """Usage by name; a process that has ended is left out."""
    found = {}
    for name, pid in processes.items():
        try:
            found[name] = _usage(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    return found


def used_between(
    before: Mapping[str, ProcessUsage], after: Mapping[str, ProcessUsage]
) -> dict[str, dict[str, float]]:
    """CPU seconds in between, memory before and after, by process."""
    used = {}
    for name, last in after.items():
        first = before.get(name, ProcessUsage(0.0, 0.0, 0.0))
        used[name] = {
            "cpu_seconds": round(last.cpu_seconds - first.cpu_seconds, 2),
            "resident_mb_before": first.resident_mb,
            "resident_mb": last.resident_mb,
            "proportional_mb_before": first.proportional_mb,
            "proportional_mb": last.proportional_mb,
        }
    return used


def machine_cpu_seconds() -> float:
    """CPU seconds that all processes of the machine have used since it started, idle left out."""
    busy = psutil.cpu_times()
    return float(busy.user + busy.nice + busy.system + busy.irq + busy.softirq)


def _usage(process: psutil.Process) -> ProcessUsage:
    times, memory = process.cpu_times(), process.memory_full_info()
    return ProcessUsage(
        cpu_seconds=times.user + times.system,
        resident_mb=round(memory.rss / 1e6, 2),
        proportional_mb=round(memory.pss / 1e6, 2),
    )
