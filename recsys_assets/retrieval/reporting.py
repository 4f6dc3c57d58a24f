"""What a training tells while it runs, and at its end. Runs in the models environment.

Each epoch is a log line and a custom message, which `pipes.py` turns into an observation of the
asset at once; so curves grow in the UI before the training is over.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recsys_assets.pace import Progress, paced

EPOCH = "epoch"


class Channel(Protocol):
    """What is used of `dagster_pipes.PipesContext`."""

    @property
    def log(self) -> "Log":
        """The run's log."""

    def report_custom_message(self, payload: object) -> None:
        """Sends a message to the process that started this one."""


class Log(Protocol):
    """What is used of a logger."""

    def info(self, message: str) -> None:
        """Writes a line."""


class EpochReport:
    """Collects and reports the figures of each epoch."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._started = time.monotonic()
        self.history: list[dict[str, float]] = []

    def batches(self) -> Progress:
        """Progress of the next epoch, in batches."""
        return paced(self._channel.log.info, f"batches of epoch {len(self.history) + 1}")

    def add(self, figures: Mapping[str, float]) -> None:
        """Reports one epoch's figures, numbered from 1, with the seconds since the last."""
        now = time.monotonic()
        row = {
            EPOCH: float(len(self.history) + 1),
            **figures,
            "seconds": round(now - self._started, 1),
        }
        self._started = now
        self.history.append(row)
        shown = ", ".join(f"{name} {value:.5g}" for name, value in row.items())
        self._channel.log.info(shown)
        self._channel.report_custom_message({EPOCH: row})


def write_metrics(
    folder: Path, report: EpochReport, weights: Iterable[np.ndarray], figures: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes `metrics.json`: the figures given, and what every training says of itself.

    Args:
        folder: of the model.
        report: has all epochs.
        weights: of the trained model.
        figures: of this kind of model, JSON values.

    Returns:
        What the file holds.
    """
    metrics = {
        **figures,
        "epochs": report.history,
        "finite_weights": bool(all(np.isfinite(values).all() for values in weights)),
        "peak_memory_gib": round(peak_memory_gib(), 2),
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")
    return metrics


def peak_memory_gib() -> float:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def series(history: Sequence[Mapping[str, float]], name: str) -> list[float]:
    """One figure over the epochs that have it."""
    return [row[name] for row in history if name in row]
