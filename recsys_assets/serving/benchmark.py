"""Latency of the whole ensemble as one client sees it, for the canary check and the demo.

Sequential requests over gRPC on an open connection, after a warm-up, for users in turn. What it is
under load is measured by `bench_serving/`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from recsys_assets.serving.client import RecommendClient

_WARM_UP = 50


@dataclass(frozen=True)
class Latency:
    """What was measured, in milliseconds, and how many of the answers were degraded."""

    requests: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    degraded: int


def measure(
    grpc_address: str, users: Sequence[str], timestamp: int, requests: int = 1000, k: int = 10
) -> Latency:
    """Sends `requests` requests one after another, as probes, whose answers are not logged."""
    milliseconds, degraded = [], 0
    with RecommendClient(grpc_address, probe=True) as client:
        for number, user in enumerate(islice(cycle(users), _WARM_UP + requests)):
            start = time.perf_counter()
            answer = client.recommend(user, timestamp, k=k)
            if number >= _WARM_UP:
                milliseconds.append((time.perf_counter() - start) * 1000)
                degraded += answer.degraded
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return Latency(
        requests=requests,
        p50_ms=round(float(p50), 2),
        p99_ms=round(float(p99), 2),
        max_ms=round(max(milliseconds), 2),
        degraded=degraded,
    )
