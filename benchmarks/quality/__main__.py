"""`python -m benchmarks.quality`: eight rolling weeks of every method, settings chosen before them.

What is done is kept in `bench/quality/` below `RECSYS_HOME`; a run that was stopped goes on there,
unless the code has changed.
Writes `bench/quality.json`, and a reliability diagram of the ranker for each data set and task.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine
from benchmarks.quality.data import DATA_SETS, load_shop
from benchmarks.quality.run import RollingRun
from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.plots import plot_calibration
from recsys_assets.evaluation.rolling import PIPELINE
from recsys_assets.evaluation.rolling_report import as_markdown
from recsys_assets.settings import load_settings
from recsys_assets.storage.filesystem import write_atomically

TASKS = {"first_purchases": False, "all_purchases": True}  # whether repeats count
VALIDATION_WEEKS = 4
# What was done by other code is done again.
_VERSION = code_version("recsys_assets.evaluation.rolling", "recsys_assets.evaluation.tuning")


def main() -> None:
    """Runs the data sets and tasks asked for, one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=list(DATA_SETS), nargs="+", default=list(DATA_SETS))
    parser.add_argument("--tasks", choices=list(TASKS), nargs="+", default=list(TASKS))
    parser.add_argument("--weeks", type=int, default=8, help="measured weeks (default: 8)")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run has done")
    asked = parser.parse_args()
    settings, machine, began = load_settings(), describe_machine(), time.monotonic()
    target = settings.home / "bench" / "quality.json"
    click.echo(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']}")

    def say(line: str) -> None:
        click.echo(f"{time.monotonic() - began:6.0f} s  {line}")

    figures: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    for name in asked.data:
        days = DATA_SETS[name]
        *weeks, after = days.weeks(asked.weeks + 1)
        shop = load_shop(name, settings.packaged_data, after, say)
        for task in asked.tasks:
            folder = settings.home / "bench" / "quality" / name / task / _VERSION
            if asked.fresh:
                _forget(folder)
            folder.mkdir(parents=True, exist_ok=True)
            say(f"{name}, {task}")
            run = RollingRun(shop, folder, say, TASKS[task])
            chosen = run.tuned(days.validation_weeks(VALIDATION_WEEKS))
            measured = {"machine": machine, **run.measured(weeks, chosen)}
            figures.setdefault(name, {})[task] = measured
            write_atomically(target.as_uri(), json.dumps(figures, indent=1).encode())
            png = plot_calibration(measured["calibration"]["bins"], f"{name}, {task}", scale="log")
            plot = target.with_name(f"quality-{name}-{task}-calibration.png")
            write_atomically(plot.as_uri(), png)
            click.echo(as_markdown(measured, PIPELINE))
    click.echo(f"written: {target}")


def _forget(folder: Path) -> None:
    for file in folder.glob("*"):
        file.unlink()


if __name__ == "__main__":
    main()
