"""What the request log adds to an answer: `python -m benchmarks.logging`.

One client asks the running server in blocks that take turns, logged and not (the server does not
log probes), so that both see the same machine; which of a pair comes first alternates. What is
reported is the difference of the two medians over all blocks. Answers that the benchmark has
logged are counted, so that a server which does not log is noticed, and taken out of the stream.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle

import numpy as np
import redis

from benchmarks.machine import describe_machine
from recsys_assets.events.purchases import purchased_items
from recsys_assets.metrics import LEVEL, RESAMPLES
from recsys_assets.pipeline.circuit import connect_for_bulk
from recsys_assets.pipeline.request_log import STREAM, new_request_id
from recsys_assets.settings import load_settings
from recsys_assets.settings.days import midnight
from recsys_assets.storage import Store
from recsys_assets.triton.client import RecommendClient

_MINE = "log-benchmark:"
_WARM_UP = 100
_SETTLE_SECONDS = 0.1  # the writer sends what a block has left before the next block begins
_DRAIN_SECONDS = 1.0


@dataclass(frozen=True)
class LogCost:
    """Milliseconds; the interval of `added` is of 95 %, by bootstrap over pairs of blocks."""

    pairs: int
    requests_per_block: int
    logged_p50_ms: float
    unlogged_p50_ms: float
    added_p50_ms: float
    added_p50_low_ms: float
    added_p50_high_ms: float
    logged_p99_ms: float
    unlogged_p99_ms: float


def measure(
    grpc_address: str, users: Sequence[str], timestamp: int, pairs: int = 100, requests: int = 20
) -> LogCost:
    """Sends `pairs` times two blocks of `requests` requests, one logged and one not."""
    queue = cycle(users)
    blocks: dict[bool, list[np.ndarray]] = {True: [], False: []}
    with RecommendClient(grpc_address) as client:
        _block(client, queue, timestamp, _WARM_UP, logged=True)
        for pair in range(pairs):
            for logged in (True, False) if pair % 2 else (False, True):
                blocks[logged].append(_block(client, queue, timestamp, requests, logged))
    p50 = {logged: float(np.percentile(blocks[logged], 50)) for logged in blocks}
    p99 = {logged: float(np.percentile(blocks[logged], 99)) for logged in blocks}
    low, high = _interval(np.array(blocks[True]), np.array(blocks[False]))
    return LogCost(
        pairs=pairs,
        requests_per_block=requests,
        logged_p50_ms=round(p50[True], 3),
        unlogged_p50_ms=round(p50[False], 3),
        added_p50_ms=round(p50[True] - p50[False], 3),
        added_p50_low_ms=round(low, 3),
        added_p50_high_ms=round(high, 3),
        logged_p99_ms=round(p99[True], 3),
        unlogged_p99_ms=round(p99[False], 3),
    )


def remove_own(store: redis.Redis, since: bytes) -> int:
    """Takes the benchmark's answers after entry `since` out of the stream; returns their number."""
    entries = store.xrange(STREAM, min=b"(" + since)
    mine = [entry for entry, fields in entries if fields[b"id"].startswith(_MINE.encode())]
    return int(store.xdel(STREAM, *mine)) if mine else 0


def _block(
    client: RecommendClient, users: Iterator[str], timestamp: int, requests: int, logged: bool
) -> np.ndarray:
    """Milliseconds of each request, float64 [requests]."""
    time.sleep(_SETTLE_SECONDS)
    milliseconds = np.empty(requests)
    for n in range(requests):
        user = next(users)
        name = f"{_MINE}{new_request_id()}" if logged else new_request_id(probe=True)
        start = time.perf_counter()
        client.recommend(user, timestamp, request_id=name)
        milliseconds[n] = (time.perf_counter() - start) * 1000
    return milliseconds


def _interval(logged: np.ndarray, unlogged: np.ndarray) -> tuple[float, float]:
    """Limits of the difference of medians; both float64 [pairs, requests]."""
    draws = np.random.default_rng(0).integers(0, len(logged), size=(RESAMPLES, len(logged)))
    added = [float(np.median(logged[rows]) - np.median(unlogged[rows])) for rows in draws]
    low, high = np.quantile(added, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def main() -> None:
    """Measures the server of the settings and prints the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--requests", type=int, default=20)
    arguments = parser.parse_args()
    settings = load_settings()
    history = purchased_items(Store(settings.storage_url), settings.history_through.isoformat())
    moment = int(midnight(settings.today).timestamp())
    store = connect_for_bulk(settings.online_store_url)
    newest = store.xrevrange(STREAM, count=1)
    try:
        cost = measure(settings.triton_grpc, list(history) or [""], moment, **vars(arguments))
    finally:
        time.sleep(_DRAIN_SECONDS)
        found = remove_own(store, newest[0][0] if newest else b"0-0")
    sent = _WARM_UP + cost.pairs * cost.requests_per_block
    if found < sent:
        raise SystemExit(f"{found} of {sent} answers were logged: the figures mean nothing")
    result = {"machine": describe_machine(), "server": settings.triton_grpc, **asdict(cost)}
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
