"""Latency of the whole ensemble as one client sees it: `python -m recsys_assets.serving.benchmark`.

Sequential requests over gRPC on an open connection, after a warm-up, for users in turn.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import cycle, islice

import numpy as np

from recsys_assets.serving.client import RecommendClient
from recsys_assets.serving.history import purchased_items
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store

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


def main() -> None:
    """Measures the server of the settings and prints the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--k", type=int, default=10)
    arguments = parser.parse_args()
    settings = load_settings()
    history = purchased_items(Store(settings.storage_url), settings.train_through.isoformat())
    moment = int(datetime.combine(settings.today, datetime.min.time(), UTC).timestamp())
    latency = measure(settings.triton_grpc, list(history) or [""], moment, **vars(arguments))
    sys.stdout.write(json.dumps(asdict(latency), indent=2) + "\n")


if __name__ == "__main__":
    main()
