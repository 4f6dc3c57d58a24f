"""Closed-loop figures by NVIDIA's own tool, `perf_analyzer`, as a second opinion.

It gives no ids to requests, so that the model does and the answers are logged. All its requests are
of one second of the day, by which the log's entries can be found again.
"""

import csv
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.serving.layouts import Running
from benchmarks.serving.requests import Population, Request
from recsys_assets.runtime.processes import ServiceError

_LIBRARIES = {"libcudart.so.12": "libcudart-*.so*", "libb64.so.0d": "libb64-*.so*"}
_SECOND_OF_DAY = 86_399
_UNSTABLE = "999"  # on a shared machine no window would ever count as stable
_MEASUREMENTS = 10
_REQUESTS = 1000
_FIGURES = {
    "Inferences/Second": "rps",
    "p50 latency": "p50_ms",
    "p90 latency": "p90_ms",
    "p99 latency": "p99_ms",
}


def marker(population: Population) -> int:
    """The second that its requests are of."""
    return population.moment + _SECOND_OF_DAY


def measure(
    running: Running,
    population: Population,
    models_python: Path,
    concurrency: int,
    seconds: float,
    folder: Path,
) -> dict[str, float]:
    """Answers per second and latency in milliseconds, with so many requests in flight.

    Raises:
        ServiceError: the tool is missing, or failed; with what it said.
    """
    requests = [
        replace(request, timestamp=marker(population))
        for request in population.draw(_REQUESTS, seed=1)
    ]
    data = folder / "perf_analyzer.json"
    data.write_text(json.dumps(input_data(requests)))
    environment = {**os.environ, "LD_LIBRARY_PATH": str(_libraries(models_python, folder))}
    export = folder / f"perf_analyzer-{concurrency}.csv"
    command = [
        str(models_python.parent / "perf_analyzer"),
        *("-m", running.model, "-u", running.grpc, "-i", "grpc"),
        *("--input-data", str(data), "--concurrency-range", str(concurrency)),
        *("-p", str(int(seconds * 1000)), "-s", _UNSTABLE, "-r", str(_MEASUREMENTS)),
        *("--percentile", "99", "-f", str(export)),
    ]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ServiceError(
            f"there is no {command[0]}: it comes with tritonclient==2.51.0, run `make setup`"
        ) from None
    if done.returncode != 0 or not export.is_file():
        raise ServiceError(f"perf_analyzer failed: {(done.stdout + done.stderr)[-2000:]}")
    return read_export(export.read_text())


def input_data(requests: Sequence[Request]) -> dict[str, list[dict[str, list[object]]]]:
    """Requests in the tool's format."""
    return {
        "data": [
            {
                "user_id": [request.user_id],
                "device": [request.device],
                "timestamp": [request.timestamp],
                "k": [request.k],
            }
            for request in requests
        ]
    }


def read_export(text: str) -> dict[str, float]:
    """Figures of the one line of its CSV export."""
    row = next(csv.DictReader(text.splitlines()))
    return {
        name: round(float(row[column]) / (1 if name == "rps" else 1000), 3)
        for column, name in _FIGURES.items()
    }


def _libraries(models_python: Path, folder: Path) -> Path:
    """Links of the names that the tool asks for to the libraries that the Triton wheel brings."""
    links = folder / "perf_analyzer_libraries"
    links.mkdir(parents=True, exist_ok=True)
    packages = models_python.parent.parent / "lib"
    for name, pattern in _LIBRARIES.items():
        found = sorted(packages.glob(f"python3*/site-packages/nvidia_pytriton.libs/{pattern}"))
        if not found:
            raise ServiceError(f"no {pattern} of nvidia-pytriton in {packages}: run `make setup`")
        link = links / name
        link.unlink(missing_ok=True)
        link.symlink_to(found[0])
    return links
