"""Outcomes and summaries without a server."""

from dataclasses import replace

import numpy as np

from benchmarks.serving.measuring import Summary, summarize
from benchmarks.serving.outcomes import ANSWERED, Outcomes


def outcomes(due, latency_ms=1.0, kind=ANSWERED, degraded=False, lag_ms=0.0, messages=None):
    """Everything may be one value for all, or one for each."""
    due = np.asarray(due, dtype=np.float64)
    count = len(due)
    numbers = np.zeros(count, dtype=np.int64)
    return Outcomes(
        due=due,
        sent=due + np.broadcast_to(lag_ms, count) / 1000,
        done=due + np.broadcast_to(latency_ms, count) / 1000,
        kind=np.array(np.broadcast_to(kind, count), dtype=object),
        degraded=np.array(np.broadcast_to(degraded, count)),
        release=numbers,
        items=numbers,
        priority=numbers,
        messages=messages or {},
        began_at=0.0,
    )


def summary(rate: float = 100.0, **changes) -> Summary:
    return replace(summarize(outcomes(np.arange(0, 1, 1 / rate)), 0, 1.1), **changes)
