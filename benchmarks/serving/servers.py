"""All figures of one server: rates, the highest bearable rate, saturation, stages and usage."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.serving.arrivals import poisson
from benchmarks.serving.extent import STATED_RATE, Extent
from benchmarks.serving.layouts import all_processes
from benchmarks.serving.load import Load
from benchmarks.serving.measuring import Summary, combine, summarize
from benchmarks.serving.outcomes import Outcomes
from benchmarks.serving.stages import read_times, times_between
from benchmarks.serving.throughput import P99_LIMIT_MS, Found, best, search
from benchmarks.serving.usage import machine_cpu_seconds, usage_of, used_between

Say = Callable[[str], None]

_REST_SECONDS = 0.5
_PATIENCE_MS = 30_000  # a closed loop is about answers a second: even a slow one counts
_LEAST_GROWTH = 1.05
_BEYOND = 1.3  # of saturation: rates above show nothing new
_FIRST_OF_SEARCH = 0.6  # of saturation


@dataclass
class ServerFigures:
    """What was measured of one server; see `run.py` for the report's form."""

    rates: dict[float, Summary]
    bearable_rps: float
    saturation_rps: float
    closed_loop: dict[int, Summary]
    stages: dict[str, dict[str, float]]
    usage: dict[str, Any]
    answered: int


class ServerBenchmark:
    """Measures one running server.

    Args:
        load: on it.
        extent: how much.
        say: takes progress lines.
    """

    def __init__(self, load: Load, extent: Extent, say: Say) -> None:
        self._load, self._extent, self._say = load, extent, say
        self._runs = 0
        self._answered = 0

    def measure(self) -> ServerFigures:
        """Everything, from the warm-up on."""
        closed = self._closed_loops()
        saturation = max(summary.full_rps for summary in closed.values())
        rates = {
            rate: self._rate(rate) for rate in self._rates_below(saturation) if rate != STATED_RATE
        }
        found = self._search(closed, saturation)
        rates |= {rate: best(runs) for rate, runs in found.runs.items()}
        stated, stages, usage = self._stated(saturation)
        rates[STATED_RATE] = stated
        return ServerFigures(
            dict(sorted(rates.items())),
            found.rate,
            saturation,
            closed,
            stages,
            usage,
            self._answered,
        )

    def _search(self, closed: dict[int, Summary], saturation: float) -> Found:
        """The highest bearable rate; 0 without a search if it is slow even with least to do."""
        if min(summary.p50_ms for summary in closed.values()) > P99_LIMIT_MS:
            self._say(f"no rate can keep a p99 of {P99_LIMIT_MS:g} ms: its median is above it")
            return Found(0.0, {})
        return search(
            self._rate,
            first=max(1.0, float(round(saturation * _FIRST_OF_SEARCH))),
            precision=self._extent.precision,
            attempts=self._extent.attempts,
        )

    def _come_to_rest(self) -> None:
        """Waits until one request after another is answered: what a run has left is done."""
        manner = replace(self._load.manner, deadline_ms=_PATIENCE_MS)
        replace(self._load, manner=manner).closed(1, _REST_SECONDS)

    def _closed_loops(self) -> dict[int, Summary]:
        """More and more in flight, until no more are answered for it."""
        manner = replace(self._load.manner, deadline_ms=_PATIENCE_MS)
        load = replace(self._load, manner=manner)
        load.closed(min(4, *self._extent.concurrencies), self._extent.warm_up)
        found: dict[int, Summary] = {}
        best_rps = 0.0
        for concurrency in self._extent.concurrencies:
            outcomes = load.closed(concurrency, self._extent.seconds / 2)
            summary = self._note(summarize(outcomes, 0, self._extent.seconds / 2))
            found[concurrency] = summary
            self._say(f"{concurrency} in flight: {_in_words(summary)}")
            if summary.full_rps < best_rps * _LEAST_GROWTH:
                break
            best_rps = summary.full_rps
        return found

    def _rates_below(self, saturation: float) -> list[float]:
        extent = self._extent
        slow = saturation < STATED_RATE
        return [
            rate
            for rate in (extent.slow_rates if slow else extent.rates)
            if rate <= saturation * _BEYOND
        ]

    def _rate(self, rate: float) -> Summary:
        summary = self._note(self._summary(self._open(rate)))
        self._say(f"{rate:g}/s offered: {_in_words(summary)}")
        if summary.errors:
            self._come_to_rest()
        return summary

    def _stated(self, saturation: float) -> tuple[Summary, dict[str, Any], dict[str, Any]]:
        """The stated rate, repeated, with stages and usage of the first repetition.

        Of a server that does not bear the rate once, and stages and usage in a rate it bears.
        """
        bears = saturation >= STATED_RATE
        rate = STATED_RATE if bears else max(1.0, float(round(saturation / 2)))
        watched, stages, usage = self._watched(rate)
        if not bears:
            return self._rate(STATED_RATE), stages, usage
        summaries = [self._note(self._summary(watched))]
        self._say(f"{rate:g}/s offered: {_in_words(summaries[0])}")
        while len(summaries) < self._extent.repetitions:
            summaries.append(self._rate(rate))
        return combine(summaries), stages, usage

    def _watched(self, rate: float) -> tuple[Outcomes, dict[str, Any], dict[str, Any]]:
        running = self._load.running
        processes = all_processes(running)
        times, usage, busy = read_times(running), usage_of(processes), machine_cpu_seconds()
        outcomes = self._open(rate)
        busy = machine_cpu_seconds() - busy
        used: dict[str, Any] = used_between(usage, usage_of(processes))
        known = sum(process["cpu_seconds"] for process in used.values()) + outcomes.cpu_seconds
        used["generator"] = {"cpu_seconds": round(outcomes.cpu_seconds, 2)}
        used["everything else on the machine"] = {"cpu_seconds": round(busy - known, 2)}
        seconds = self._extent.warm_up + self._extent.seconds
        return (
            outcomes,
            {"rate": rate, **times_between(times, read_times(running))},
            {"rate": rate, "seconds": seconds, "processes": used},
        )

    def _open(self, rate: float) -> Outcomes:
        self._runs += 1
        seed = self._load.seed + self._runs
        seconds = self._extent.warm_up + self._extent.seconds
        return self._load.with_seed(seed).open(poisson(rate, seconds, seed))

    def _summary(self, outcomes: Outcomes) -> Summary:
        warm_up = self._extent.warm_up
        return summarize(outcomes, warm_up, warm_up + self._extent.seconds)

    def _note(self, summary: Summary) -> Summary:
        self._answered += summary.requests - summary.errors
        return summary


def as_report(figures: ServerFigures) -> dict[str, Any]:
    """The part of the report about one layout."""
    return {
        "rates": {f"{rate:g}": asdict(summary) for rate, summary in figures.rates.items()},
        "throughput_at_p99_25ms": figures.bearable_rps,
        "saturation_rps": figures.saturation_rps,
        "closed_loop": {
            str(concurrency): asdict(summary)
            for concurrency, summary in figures.closed_loop.items()
        },
    }


def _in_words(summary: Summary) -> str:
    late = f", generator late by {summary.lag_p99_ms} ms" if summary.late_generator else ""
    return (
        f"{summary.achieved_rps:g}/s answered, p50 {summary.p50_ms} ms, p99 {summary.p99_ms} ms, "
        f"{summary.errors} errors {summary.errors_by_kind or ''}, "
        f"{summary.degraded:.1%} degraded{late}"
    )
