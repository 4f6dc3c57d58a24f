"""More load than the server can bear: what it sheds, how fast it stays, how soon it is normal.

`python -m benchmarks.serving.overload` sends a normal load, then a multiple of the
measured capacity, then a normal load again, and writes `overload.json` and `overload.png`.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.serving import report
from benchmarks.serving.arrivals import phases
from benchmarks.serving.layouts import OURS, Ours, Running
from benchmarks.serving.load import OWN, Load, Manner
from benchmarks.serving.measuring import percentiles, summarize
from benchmarks.serving.outcomes import ANSWERED, Outcomes
from benchmarks.serving.own_answers import OwnAnswers, has_prefix
from benchmarks.serving.plots import plot_timeline
from benchmarks.serving.progress import say
from benchmarks.serving.requests import Population, population_of
from benchmarks.serving.stages import Samples, scrape, total
from benchmarks.serving.timeline import by_second, late_seconds, seconds_until_normal, unexpected
from benchmarks.serving.wire import Terms
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.settings import Settings, load_settings
from recsys_assets.storage.filesystem import write_atomically
from recsys_assets.triton.metric_names import SHED

MOST_P99_MS = 50.0
MOST_SECONDS_UNTIL_NORMAL = 5.0
_QUICK = {"before": 3.0, "burst": 5.0, "after": 7.0}
_SAID = ("met", "shed_rows", "unexpected_errors", "seconds_until_normal", "late_generator_seconds")
_SETTLING = 1.0  # seconds of the first phase that are left out
_METRICS_DELAY = 1.5  # the served model sends its counts once a second


@dataclass(frozen=True)
class Burst:
    """Seconds of the three phases, and rates of the normal ones and the burst, requests/s."""

    before: float
    burst: float
    after: float
    normal_rps: float
    burst_rps: float
    batch_share: float

    @property
    def seconds(self) -> float:
        """Of all phases."""
        return self.before + self.burst + self.after

    def arrivals(self, seed: int) -> np.ndarray:
        """Moments of all phases, float64 [n]."""
        normal, burst = self.normal_rps, self.burst_rps
        steps = [(normal, self.before), (burst, self.burst), (normal, self.after)]
        return phases(steps, seed)


def run_overload(
    running: Running, population: Population, burst: Burst, seed: int = 1
) -> tuple[Outcomes, dict[str, int]]:
    """Sends the burst; returns what came of it, and rows that got less, by level."""
    batch = burst.batch_share
    terms = ((Terms(priority=1), 1 - batch), (Terms(priority=2), batch))
    load = Load(running, population, Manner(terms=terms), seed)
    before = _shed(running)
    with load.begun(burst.arrivals(seed)) as generation:
        for name, moment in (("burst", burst.before), ("after", burst.before + burst.burst)):
            generation.wait_until(moment)
            say(f"{name}: begins at second {moment:g}")
        generation.wait_until(burst.seconds + _METRICS_DELAY)
        after = _shed(running)
        outcomes = generation.finish()
    return outcomes, {level: int(after[level] - before.get(level, 0)) for level in after}


def describe(outcomes: Outcomes, shed: dict[str, int], burst: Burst) -> dict[str, Any]:
    """The report: figures of each phase and second, and whether the stated figures were met."""
    end = burst.before + burst.burst
    seconds = by_second(outcomes, int(burst.seconds))
    before = summarize(outcomes, _SETTLING, burst.before)
    during = summarize(outcomes, burst.before, end)
    until_normal = seconds_until_normal(seconds, end, before.p99_ms)
    failures = dict(unexpected(outcomes))
    return {
        **asdict(burst),
        "phases": {
            "before": asdict(before),
            "burst": asdict(during),
            "after": asdict(summarize(outcomes, end, burst.seconds)),
        },
        "by_priority": _by_priority(outcomes.within(burst.before, end)),
        "shed_rows": shed,
        "unexpected_errors": failures,
        "seconds_until_normal": until_normal,
        "met": {
            "no unexpected errors": not failures,
            f"p99 of accepted <= {MOST_P99_MS:g} ms": during.p99_ms <= MOST_P99_MS,
            f"normal within {MOST_SECONDS_UNTIL_NORMAL:g} s": until_normal is not None
            and until_normal <= MOST_SECONDS_UNTIL_NORMAL,
        },
        "late_generator_seconds": late_seconds(seconds),
        "seconds": [asdict(second) for second in seconds],
    }


def measured_capacity(settings: Settings) -> float:
    """Answers per second at most, of the last `bench_serving`.

    Raises:
        ServiceError: it has not been measured.
    """
    path = settings.home / "bench" / "serving.json"
    if not path.is_file():
        raise ServiceError(
            f"there is no {path}: run `make bench-serving` first, or give --capacity"
        )
    return float(json.loads(path.read_text())["layouts"][OURS]["saturation_rps"])


def _shed(running: Running) -> dict[str, float]:
    samples: Samples = scrape(running.metrics) if running.metrics else {}
    return total(samples, SHED, "level")


def _by_priority(outcomes: Outcomes) -> dict[str, Any]:
    found = {}
    for priority in np.unique(outcomes.priority).tolist():
        part = outcomes.take(np.flatnonzero(outcomes.priority == priority))
        kinds, counts = np.unique(part.kind.astype(str), return_counts=True)
        answered = part.kind == ANSWERED
        found[str(priority)] = {
            "requests": len(part),
            **dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
            "degraded": int(part.degraded[answered].sum()),
            **percentiles(part.latency_ms[part.served]),
        }
    return found


def write_files(found: dict[str, Any], outcomes: Outcomes, burst: Burst, folder: Path) -> Path:
    """JSON and picture; returns the path of the JSON."""
    path = report.write(found, folder, "overload")
    marks = {"burst": burst.before, "after": burst.before + burst.burst}
    title = f"{burst.burst_rps:g} requests/s for {burst.burst:g} s"
    seconds = by_second(outcomes, int(burst.seconds))
    picture = plot_timeline(seconds, marks, title, MOST_P99_MS)
    write_atomically(path.with_suffix(".png").as_uri(), picture)
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it against the deployment of the settings."""
    parser = argparse.ArgumentParser(prog="overload", description=__doc__)
    parser.add_argument("--capacity", type=float, help="requests/s (default: as was measured)")
    parser.add_argument("--factor", type=float, default=2.0, help="of the capacity, in the burst")
    parser.add_argument("--normal", type=float, default=0.5, help="share of the capacity, else")
    parser.add_argument("--before", type=float, default=15.0, help="seconds")
    parser.add_argument("--burst", type=float, default=60.0, help="seconds")
    parser.add_argument("--after", type=float, default=20.0, help="seconds")
    parser.add_argument("--batch-share", type=float, default=0.2, help="requests of priority 2")
    parser.add_argument("--quick", action="store_true", help="seconds instead of a minute, for CI")
    chosen = parser.parse_args(arguments)
    settings = load_settings()
    capacity = chosen.capacity or measured_capacity(settings)
    times = {name: getattr(chosen, name) for name in _QUICK}
    burst = Burst(
        **(_QUICK if chosen.quick else times),
        normal_rps=capacity * chosen.normal,
        burst_rps=capacity * chosen.factor,
        batch_share=chosen.batch_share,
    )
    with Ours(settings).start() as running:
        logged = OwnAnswers(settings.online_store_url, has_prefix(OWN))
        say(f"before: {burst.normal_rps:g} requests/s, burst: {burst.burst_rps:g} requests/s")
        try:
            outcomes, shed = run_overload(running, population_of(settings), burst)
        finally:
            logged.remove()
    found = describe(outcomes, shed, burst) | {
        "capacity_rps": capacity,
        "machine": describe_machine(),
    }
    path = write_files(found, outcomes, burst, settings.home / "bench")
    for name in _SAID:
        say(f"{name}: {found[name]}")
    during = found["phases"]["burst"]
    say(f"burst: p99 {during['p99_ms']} ms, {during['achieved_rps']}/s, {during['errors_by_kind']}")
    say(f"written: {path}")


if __name__ == "__main__":
    main()
