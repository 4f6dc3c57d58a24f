"""A long run below capacity: does memory stay flat, are there errors, does latency hold.

`python -m benchmarks.serving.soak --minutes 60` sends 70 % of the measured capacity
without a pause, and writes `soak.json` and `soak.png`.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.serving import report
from benchmarks.serving.arrivals import poisson
from benchmarks.serving.layouts import Ours, all_processes
from benchmarks.serving.load import OWN, Generation, Load
from benchmarks.serving.measuring import Summary, summarize
from benchmarks.serving.outcomes import Outcomes
from benchmarks.serving.overload import measured_capacity
from benchmarks.serving.own_answers import OwnAnswers, has_prefix
from benchmarks.serving.plots import plot_memory
from benchmarks.serving.progress import say
from benchmarks.serving.requests import population_of
from benchmarks.serving.timeline import unexpected
from benchmarks.serving.usage import usage_of
from recsys_assets.settings import load_settings
from recsys_assets.storage.filesystem import write_atomically

_SEGMENT_SECONDS = 30.0
_SETTLING_SHARE = 0.2  # of the samples: what is filled once is no leak
_QUICK_SECONDS = 10.0


@dataclass
class Memory:
    """Samples of the proportional memory of each process, in megabytes."""

    minutes: list[float] = field(default_factory=list)
    megabytes: dict[str, list[float]] = field(default_factory=dict)

    def sample(self, minute: float, processes: dict[str, int]) -> None:
        """Adds one; a process that is new has no value before."""
        for name, usage in usage_of(processes).items():
            values = self.megabytes.setdefault(name, [float("nan")] * len(self.minutes))
            values.append(usage.proportional_mb)
        self.minutes.append(minute)
        for values in self.megabytes.values():
            values.extend([float("nan")] * (len(self.minutes) - len(values)))

    def growth(self) -> dict[str, dict[str, float]]:
        """By process: first, last and most megabytes, and megabytes a minute by least squares."""
        skipped = int(len(self.minutes) * _SETTLING_SHARE)
        return {
            name: {
                "first_mb": values[0],
                "last_mb": values[-1],
                "most_mb": float(np.nanmax(values)),
                "mb_per_minute": slope(self.minutes[skipped:], values[skipped:]),
            }
            for name, values in self.megabytes.items()
        }


def slope(minutes: Sequence[float], megabytes: Sequence[float]) -> float:
    """Of the line through the samples by least squares; NaN if there are fewer than two."""
    x, y = np.array(minutes), np.array(megabytes)
    known = ~np.isnan(y)
    if known.sum() < 2:
        return float("nan")
    return round(float(np.polyfit(x[known], y[known], 1)[0]), 4)


@dataclass
class Soak:
    """A load without a pause, from one generator after another.

    Attributes:
        load: on the server.
        rate: requests a second.
        segment_seconds: after which answers are looked at.
        sample_seconds: between two looks at the memory.
        memory: the samples.
    """

    load: Load
    rate: float
    segment_seconds: float = _SEGMENT_SECONDS
    sample_seconds: float = 10.0
    memory: Memory = field(default_factory=Memory)

    def run(self, segments: int) -> Iterator[Outcomes]:
        """Yields what came of each segment, while the next one is under way."""
        with tempfile.TemporaryDirectory(prefix="soak-") as folder, ExitStack() as stack:
            first = self._generation(0, Path(folder), stack)
            begin = first.begin()
            current = first
            for number in range(1, segments + 1):
                following = None
                if number < segments:
                    following = self._generation(number, Path(folder), stack)
                    following.begin(begin + number * self.segment_seconds)
                self._sample_until(first, number * self.segment_seconds)
                yield current.finish()
                current = following or current

    def _generation(self, number: int, folder: Path, stack: ExitStack) -> Generation:
        seed = self.load.seed + number
        due = poisson(self.rate, self.segment_seconds, seed)
        generation = self.load.with_seed(seed).generation(due, folder)
        stack.callback(generation.cancel)
        return generation

    def _sample_until(self, first: Generation, end: float) -> None:
        while True:
            processes = all_processes(self.load.running)
            self.memory.sample(round(first.second / 60, 3), processes)
            first.wait_until(min(end, first.second + self.sample_seconds))
            if first.second >= end:
                return


def describe(summaries: Sequence[Summary], memory: Memory, failures: dict[str, int]) -> Any:
    """The report."""
    return {
        "requests": sum(summary.requests for summary in summaries),
        "errors": sum(summary.errors for summary in summaries),
        "failures": failures,
        "degraded": float(np.mean([summary.degraded for summary in summaries])),
        "p99_ms_first": summaries[0].p99_ms,
        "p99_ms_last": summaries[-1].p99_ms,
        "p99_ms_median": float(np.median([summary.p99_ms for summary in summaries])),
        "p99_ms_worst": max(summary.p99_ms for summary in summaries),
        "memory": memory.growth(),
        "samples": {"minutes": memory.minutes, **memory.megabytes},
        "segments": [asdict(summary) for summary in summaries],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it against the deployment of the settings."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--capacity", type=float, help="requests/s (default: as was measured)")
    parser.add_argument("--share", type=float, default=0.7, help="of the capacity")
    parser.add_argument("--quick", action="store_true", help="half a minute, for CI")
    chosen = parser.parse_args(arguments)
    settings = load_settings()
    capacity = chosen.capacity or measured_capacity(settings)
    seconds = _QUICK_SECONDS if chosen.quick else _SEGMENT_SECONDS
    segments = 3 if chosen.quick else max(1, round(chosen.minutes * 60 / seconds))
    summaries: list[Summary] = []
    failures: dict[str, int] = {}
    with Ours(settings).start() as running:
        sample_seconds = seconds / 5 if chosen.quick else 10.0
        load = Load(running, population_of(settings))
        soak = Soak(load, capacity * chosen.share, seconds, sample_seconds)
        logged = OwnAnswers(settings.online_store_url, has_prefix(OWN))
        try:
            for outcomes in soak.run(segments):
                summaries.append(summarize(outcomes, 0, seconds))
                logged.remove(drain=False)
                for message, count in unexpected(outcomes).items():
                    failures[message] = failures.get(message, 0) + count
                say(_in_words(len(summaries), segments, summaries[-1], soak.memory))
        finally:
            logged.remove()
    found = describe(summaries, soak.memory, failures) | {
        "rate": soak.rate,
        "capacity_rps": capacity,
        "machine": describe_machine(),
    }
    path = report.write(found, settings.home / "bench", "soak")
    p99 = [summary.p99_ms for summary in summaries]
    picture = plot_memory(soak.memory.minutes, soak.memory.megabytes, p99)
    write_atomically(path.with_suffix(".png").as_uri(), picture)
    for name, growth in found["memory"].items():
        say(f"{name}: {growth}")
    say(f"{found['requests']} requests, {found['errors']} errors {failures or ''}")
    say(f"written: {path}")


def _in_words(number: int, segments: int, summary: Summary, memory: Memory) -> str:
    largest = max(memory.megabytes, key=lambda name: memory.megabytes[name][-1])
    return (
        f"segment {number} of {segments}: {summary.achieved_rps:g}/s, p99 {summary.p99_ms} ms, "
        f"{summary.errors} errors, {largest} {memory.megabytes[largest][-1]:.1f} MB"
    )


if __name__ == "__main__":
    main()
