"""Figures of the floor, which is a function in one process and no server."""

from typing import Any

import numpy as np

from benchmarks.serving.arrivals import poisson
from benchmarks.serving.extent import STATED_RATE, Extent
from benchmarks.serving.measuring import Summary, combine, summarize
from benchmarks.serving.outcomes import ANSWERED, OTHER, Outcomes
from benchmarks.serving.requests import Population
from benchmarks.serving.servers import Say, ServerFigures
from benchmarks.serving.throughput import best, search
from recsys_assets.settings import Settings

_FIRST_OF_SEARCH = 0.7
_SATURATING_REQUESTS = 100  # for each second of a run


class FloorBenchmark:
    """Measures the floor of the promoted release.

    Args:
        settings: of its deployment.
        population: who asks; the same as of the servers.
        extent: how much.
        say: takes progress lines.
    """

    def __init__(
        self, settings: Settings, population: Population, extent: Extent, say: Say
    ) -> None:
        self._settings, self._population = settings, population
        self._extent, self._say = extent, say
        self._runs = 0

    def measure(self) -> ServerFigures:
        """Saturation, the highest bearable rate, and the stated rate."""
        saturation = self._saturation()
        repetitions = [self._rate(STATED_RATE) for _ in range(self._extent.repetitions)]
        found = search(
            self._rate,
            first=max(1.0, float(round(saturation * _FIRST_OF_SEARCH))),
            precision=self._extent.precision,
            attempts=self._extent.attempts,
        )
        rates = {rate: best(runs) for rate, runs in found.runs.items()}
        rates[STATED_RATE] = combine(repetitions)
        ordered = dict(sorted(rates.items()))
        nothing: dict[str, Any] = {}
        return ServerFigures(ordered, found.rate, saturation, {}, nothing, nothing, 0)

    def _saturation(self) -> float:
        """Requests a second when all are due at once."""
        count = int(_SATURATING_REQUESTS * self._extent.seconds)
        outcomes = self._run(np.zeros(count))
        rps = round(count / float(outcomes.done.max()), 2)
        self._say(f"one after another: {rps:g}/s")
        return rps

    def _rate(self, rate: float) -> Summary:
        self._runs += 1
        seconds = self._extent.warm_up + self._extent.seconds
        outcomes = self._run(poisson(rate, seconds, self._runs))
        summary = summarize(outcomes, self._extent.warm_up, seconds)
        self._say(f"{rate:g}/s: p50 {summary.p50_ms} ms, p99 {summary.p99_ms} ms")
        return summary

    def _run(self, due: np.ndarray) -> Outcomes:
        from benchmarks.serving.peers.floor import measure_floor

        requests = self._population.draw(len(due), self._runs)
        latency = measure_floor(self._settings, list(zip(due.tolist(), requests, strict=True)))
        return outcomes_of(due, latency)


def outcomes_of(due: np.ndarray, latency: np.ndarray) -> Outcomes:
    """Of moments and seconds until the answer, both float64 [n]; NaN is a failure.

    When it began with a request is not known: the lag is left 0.
    """
    failed = np.isnan(latency)
    none = np.zeros(len(due), dtype=np.int64)
    numbers = np.flatnonzero(failed).tolist()
    return Outcomes(
        due=due,
        sent=due,
        done=np.where(failed, due, due + latency),
        kind=np.where(failed, OTHER, ANSWERED).astype(object),
        degraded=np.zeros(len(due), dtype=bool),
        release=none,
        items=none,
        priority=none,
        messages=dict.fromkeys(numbers, "the online store did not answer in time"),
        began_at=0.0,
    )
