"""How many requests a second a server bears: searched with open-loop runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.serving.measuring import Summary

P99_LIMIT_MS = 25.0
_LEAST_ACHIEVED = 0.99
_MOST_DEGRADED = 0.01
_GROWTH = 1.5
_ATTEMPTS = 3

Measure = Callable[[float], Summary]


@dataclass(frozen=True)
class Limits:
    """What a bearable rate keeps: p99, answers in full, no errors, and as many as are offered."""

    p99_ms: float = P99_LIMIT_MS
    least_achieved: float = _LEAST_ACHIEVED
    most_degraded: float = _MOST_DEGRADED

    def kept_by(self, summary: Summary) -> bool:
        """Whether a run kept them."""
        return (
            summary.p99_ms <= self.p99_ms
            and summary.errors == 0
            and summary.degraded <= self.most_degraded
            and summary.achieved_rps >= self.least_achieved * summary.offered_rps
        )


@dataclass(frozen=True)
class Found:
    """The highest rate that kept the limits, 0 if none did, and all runs by rate."""

    rate: float
    runs: dict[float, list[Summary]]


def search(
    measure: Measure,
    first: float,
    limits: Limits | None = None,
    precision: float = 0.1,
    attempts: int = _ATTEMPTS,
) -> Found:
    """Climbs from `first` by half until a rate does not keep the limits, then halves the gap.

    On a shared machine one run may be disturbed: a rate counts as not bearable once it has failed
    `attempts` times.

    Args:
        measure: runs a rate.
        first: requests a second to begin with; if that is too much, the search goes down.
        limits: what is bearable.
        precision: ends once the gap is below this share of the rate.
        attempts: runs of a rate at most.
    """
    trial = _Trial(measure, limits or Limits(), attempts)
    low, high = _bracket(trial, first)
    while low and high - low > precision * low:
        middle = _rounded((low + high) / 2)
        if not low < middle < high:
            break
        low, high = (middle, high) if trial.bearable(middle) else (low, middle)
    return Found(low, trial.runs)


def best(found: Sequence[Summary]) -> Summary:
    """The run with the lowest p99 of several of one rate."""
    return min(found, key=lambda summary: summary.p99_ms)


class _Trial:
    """Runs rates and remembers the runs."""

    def __init__(self, measure: Measure, limits: Limits, attempts: int) -> None:
        self._measure, self._limits, self._attempts = measure, limits, attempts
        self.runs: dict[float, list[Summary]] = {}

    def bearable(self, rate: float) -> bool:
        for _ in range(self._attempts):
            summary = self._measure(rate)
            self.runs.setdefault(rate, []).append(summary)
            if self._limits.kept_by(summary):
                return True
        return False


def _bracket(trial: _Trial, first: float) -> tuple[float, float]:
    """A bearable rate, or 0, and the next one tried, which is not bearable."""
    rate = first
    if trial.bearable(rate):
        while True:
            higher = _rounded(rate * _GROWTH)
            if not trial.bearable(higher):
                return rate, higher
            rate = higher
    while rate > 1:
        lower = max(1.0, _rounded(rate / _GROWTH / _GROWTH))
        if trial.bearable(lower):
            return lower, rate
        rate = lower
    return 0.0, rate


def _rounded(rate: float) -> float:
    return float(round(rate / 5) * 5 if rate >= 20 else max(1, round(rate)))
