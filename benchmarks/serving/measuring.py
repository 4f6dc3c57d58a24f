"""Figures of a run: latency percentiles, rates, errors by kind, and the generator's own lag."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.serving.outcomes import ANSWERED, KINDS, Outcomes

MOST_LAG_MS = 1.0
_PERCENTILES = {"p50_ms": 50, "p90_ms": 90, "p99_ms": 99, "p999_ms": 99.9}


@dataclass(frozen=True)
class Summary:
    """Latency in milliseconds from when a request was due, of those that were not refused.

    A request without an answer in time counts with its deadline. `errors` are all that got no
    answer; `degraded` is a share of the answers. `late_generator` says that the generator itself
    was late by more than 1 ms at the 99th percentile, so that latencies are partly its own.
    """

    requests: int
    seconds: float
    offered_rps: float
    achieved_rps: float
    full_rps: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    mean_ms: float
    errors: int
    errors_by_kind: dict[str, int]
    degraded: float
    lag_p99_ms: float
    late_generator: bool
    repetitions: int = 1
    spread: dict[str, list[float]] = field(default_factory=dict)


def summarize(outcomes: Outcomes, begin: float, end: float) -> Summary:
    """Of requests that were due in [begin, end), so that a warm-up can be left out.

    Raises:
        ValueError: there are none.
    """
    part = outcomes.within(begin, end)
    if not len(part):
        raise ValueError(f"no request was due from second {begin} to {end}: measure for longer")
    seconds = end - begin
    latency: dict[str, Any] = dict(percentiles(part.latency_ms[part.served]))
    answered = part.kind == ANSWERED
    # Answers that came back within the time, not answers to what was due in it: a server that
    # falls behind achieves less than it is offered.
    back = (outcomes.kind == ANSWERED) & (outcomes.done >= begin) & (outcomes.done < end)
    lag = float(np.nanpercentile(part.lag_ms, 99))
    by_kind = {kind: int((part.kind == kind).sum()) for kind in KINDS if kind != ANSWERED}
    return Summary(
        requests=len(part),
        seconds=round(seconds, 3),
        offered_rps=round(len(part) / seconds, 2),
        achieved_rps=round(int(back.sum()) / seconds, 2),
        full_rps=round(int((back & ~outcomes.degraded).sum()) / seconds, 2),
        **latency,
        errors=int((~answered).sum()),
        errors_by_kind={kind: count for kind, count in by_kind.items() if count},
        degraded=round(float(part.degraded[answered].mean()), 5) if answered.any() else 0.0,
        lag_p99_ms=round(lag, 3),
        late_generator=lag > MOST_LAG_MS,
    )


def percentiles(latency_ms: np.ndarray) -> dict[str, float]:
    """Percentiles, largest and mean of latencies float64 [n]; NaN where there are none."""
    if not len(latency_ms):
        return dict.fromkeys((*_PERCENTILES, "max_ms", "mean_ms"), float("nan"))
    found = np.percentile(latency_ms, list(_PERCENTILES.values()))
    values = dict(zip(_PERCENTILES, found, strict=True))
    values |= {"max_ms": latency_ms.max(), "mean_ms": latency_ms.mean()}
    return {name: round(float(value), 3) for name, value in values.items()}


def combine(summaries: Sequence[Summary]) -> Summary:
    """One of several repetitions: medians, sums of errors, and least and most as `spread`."""
    values = [asdict(summary) for summary in summaries]
    names = ("offered_rps", "achieved_rps", "full_rps", *_PERCENTILES, "mean_ms", "lag_p99_ms")
    columns = {name: [float(value[name]) for value in values] for name in names}
    kinds = {kind for summary in summaries for kind in summary.errors_by_kind}
    lag = float(np.median(columns["lag_p99_ms"]))
    medians = {name: round(float(np.median(column)), 3) for name, column in columns.items()}
    return replace(
        summaries[0],
        **medians,
        requests=sum(summary.requests for summary in summaries),
        max_ms=max(summary.max_ms for summary in summaries),
        errors=sum(summary.errors for summary in summaries),
        errors_by_kind={
            kind: sum(one.errors_by_kind.get(kind, 0) for one in summaries) for kind in kinds
        },
        degraded=round(float(np.mean([summary.degraded for summary in summaries])), 5),
        late_generator=lag > MOST_LAG_MS,
        repetitions=len(summaries),
        spread={name: [min(column), max(column)] for name, column in columns.items()},
    )
