"""What the figures were measured on."""

import os
import platform
from pathlib import Path


def describe_machine() -> dict[str, object]:
    """Processor, cores, memory, kernel, and how busy it was just before (load of a minute)."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line for line in lines if line.startswith("model name")), platform.machine())
    memory = Path("/proc/meminfo").read_text().split()[1]
    return {
        "cpu": model.split(": ")[-1],
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory) * 1024 / 1e9, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
    }
