"""`python -m benchmarks.growth`: the stages over N, 2 N and 4 N days of one shop.

Prints CPU seconds, which other work on the machine disturbs less than the clock, of this process
and the Spark it starts, and how they grow. Writes `bench/growth.json` below `RECSYS_HOME`.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import click
import psutil

from benchmarks.growth.stages import DAY, HISTORY, World
from benchmarks.machine import describe_machine
from benchmarks.serving.usage import usage_of
from recsys_assets.features.spark_session import spark_session
from recsys_assets.runtime.processes import free_addresses
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import load_settings
from recsys_assets.storage.filesystem import write_atomically

_TIMES = (1, 2, 4)
_KINDS = {"history": HISTORY, "day": DAY}

Seconds = dict[str, dict[str, list[list[float]]]]


def main() -> None:
    """Times every stage at each size in turns; the first turn warms up and does not count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=40, help="N (default: 40)")
    parser.add_argument("--turns", type=int, default=3, help="measured turns (default: 3)")
    asked = parser.parse_args()
    settings, machine = load_settings(), describe_machine()
    days = [asked.days * times for times in _TIMES]
    click.echo(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']}")
    click.echo(f"{days} days, {asked.turns} turns, CPU seconds: median (least to most)")
    (address,) = free_addresses(1)
    seconds: Seconds = {
        kind: {name: [[] for _ in days] for name in stages} for kind, stages in _KINDS.items()
    }
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as folder, spark_session() as spark:
        base = replace(settings, home=Path(folder), online_store_url=f"redis://{address}/0")
        valkey = Valkey.of(base)
        valkey.start()
        try:
            worlds = [World.of(base, spark, Path(folder) / str(count), count) for count in days]
            for turn in range(asked.turns + 1):
                for size, world in enumerate(worlds):
                    click.echo(f"turn {turn} of {asked.turns}, {days[size]} days")
                    for kind, stages in _KINDS.items():
                        for name, stage in stages.items():
                            taken = _cpu_seconds(stage, world)
                            click.echo(f"  {kind:7} {name:28} {taken:.2f} s")
                            if turn:
                                seconds[kind][name][size].append(taken)
        finally:
            valkey.stop()
    _report(seconds)
    target = settings.home / "bench" / "growth.json"
    found = {"machine": machine, "days": days, "turns": asked.turns, "cpu_seconds": seconds}
    write_atomically(target.as_uri(), json.dumps(found, indent=2).encode())
    click.echo(f"\nwritten: {target}")


def _cpu_seconds(stage: Callable[[World], object], world: World) -> float:
    before = _used()
    with redirect_stdout(StringIO()):  # what Feast says of its progress
        stage(world)
    return round(_used() - before, 3)


def _used() -> float:
    """CPU seconds of this process, in fine steps, and of those that it has started."""
    children = psutil.Process().children()
    used = usage_of({str(child.pid): child.pid for child in children}).values()
    return time.process_time() + sum(child.cpu_seconds for child in used)


def _report(seconds: Seconds) -> None:
    for kind, stages in seconds.items():
        click.echo(f"\nwork: {kind}; 2 N and 4 N over N")
        for name, by_size in stages.items():
            middle = [statistics.median(turns) for turns in by_size]
            shown = (
                f"{median:.2f} ({min(turns):.2f} to {max(turns):.2f})"
                for median, turns in zip(middle, by_size, strict=True)
            )
            twice, four = (value / middle[0] for value in middle[1:])
            click.echo(f"  {name:28} {'  '.join(shown)}   x{twice:.1f}  x{four:.1f}")


if __name__ == "__main__":
    main()
