"""CPU time and memory of processes, from /proc."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


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
            found[name] = _usage(Path("/proc") / str(pid))
        except (FileNotFoundError, ProcessLookupError):
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
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, softirq, *_ = (int(field) for field in fields)
    return (user + nice + system + irq + softirq) / _TICKS


def _usage(process: Path) -> ProcessUsage:
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    rollup = dict(
        line.split()[:2] for line in (process / "smaps_rollup").read_text().splitlines()[1:]
    )
    return ProcessUsage(
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        resident_mb=_megabytes(rollup["Rss:"]),
        proportional_mb=_megabytes(rollup["Pss:"]),
    )


def _megabytes(kibibytes: str) -> float:
    return round(int(kibibytes) * 1024 / 1e6, 2)
