"""Where the time of a peer goes: `python -m benchmarks.serving.peers`.

One client asks one request after another, so nothing waits in a queue; `bench_serving` itself
measures the peers under load, beside ours. For each layout: latency, time by stage, and of a
lookup in Feast what its SDK takes and what the way to it adds.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.layouts import CASE_STUDY, CASE_STUDY_CACHED, FLOOR
from benchmarks.serving.peers.case_study import OPTIONS_FOLDER, case_study
from benchmarks.serving.peers.columns import LookupColumns
from benchmarks.serving.peers.floor import measure_floor
from benchmarks.serving.peers.lookup import Lookup
from benchmarks.serving.peers.options import Options
from benchmarks.serving.requests import Request, population_of
from recsys_assets.settings import Settings, load_settings
from recsys_assets.storage.filesystem import write_atomically
from recsys_assets.triton.client import RecommendClient

_WARM_UP = 30
_CANDIDATES = 300
# Seconds between requests to the floor, so that none waits for another, and between lookups, so
# that they find the caches of the processor as a lookup within a request does.
_FLOOR_GAP, _LOOKUP_GAP = 0.05, 0.02
_NANOSECONDS = 1e6  # in a millisecond


def measure_peer(
    settings: Settings, cached: bool, folder: Path, requests: Sequence[Request]
) -> dict[str, Any]:
    """Latency, stages and lookups of one layout, in milliseconds, over requests in turn."""
    with case_study(settings, cached, folder) as running:
        with RecommendClient(running.grpc, probe=True) as client:
            _latencies(client, requests[:_WARM_UP])
            before = stage_totals(running.grpc)
            latencies = _latencies(client, requests)
        after = stage_totals(running.grpc)
        options = Options.load(folder / OPTIONS_FOLDER)
        return {
            **_summary(latencies),
            "stages_ms": {
                name: round((after[name] - before[name]) / len(requests), 3) for name in after
            },
            "lookups": _lookups(options, requests),
        }


def stage_totals(grpc_address: str) -> dict[str, float]:
    """Milliseconds that requests have spent in each model since it was loaded, its queue too."""
    import tritonclient.grpc as grpc

    with grpc.InferenceServerClient(grpc_address) as client:
        models = client.get_inference_statistics().model_stats
        return {model.name: model.inference_stats.success.ns / _NANOSECONDS for model in models}


def split_lookup(lookup: Lookup, asked: Sequence[Sequence[str]]) -> dict[str, float]:
    """Medians of a lookup: Feast's SDK, and what the way to its process adds, in milliseconds."""
    sdk, way = [], []
    for ids in asked:
        time.sleep(_LOOKUP_GAP)
        started = time.perf_counter()
        found = lookup.find(ids)
        seconds = time.perf_counter() - started
        sdk.append(found.sdk_seconds)
        way.append(seconds - found.sdk_seconds)
    return {
        "rows": len(asked[0]),
        "sdk_p50_ms": _milliseconds(np.median(sdk)),
        "way_p50_ms": _milliseconds(np.median(way)),
    }


def _lookups(options: Options, requests: Sequence[Request]) -> dict[str, dict[str, float]]:
    users = LookupColumns.of_users(options)
    asked: list[list[str]] = [[request.user_id] for request in requests]
    found = {"user": _split(options.user_socket, users, asked)}
    if options.item_socket:
        ids = np.array(options.item_ids(), dtype=object)
        rng = np.random.default_rng(0)
        count = min(_CANDIDATES, len(ids))
        asked = [rng.choice(ids, count, replace=False).tolist() for _ in requests]
        found["item"] = _split(options.item_socket, LookupColumns.of_items(options), asked)
    return found


def _split(socket: str, columns: LookupColumns, asked: Sequence[Sequence[str]]) -> dict[str, float]:
    lookup = Lookup(socket, len(columns.numbers))
    try:
        lookup.find(asked[0])
        return split_lookup(lookup, asked)
    finally:
        lookup.close()


def _latencies(client: RecommendClient, requests: Sequence[Request]) -> list[float]:
    seconds = []
    for request in requests:
        started = time.perf_counter()
        client.recommend(request.user_id, request.timestamp, request.device, request.k)
        seconds.append(time.perf_counter() - started)
    return seconds


def _summary(seconds: Sequence[float] | np.ndarray) -> dict[str, float]:
    p50, p90, p99 = np.nanpercentile(seconds, [50, 90, 99])
    return {
        "requests": len(seconds),
        "p50_ms": _milliseconds(p50),
        "p90_ms": _milliseconds(p90),
        "p99_ms": _milliseconds(p99),
        "errors": int(np.isnan(seconds).sum()),
    }


def _milliseconds(seconds: float | np.floating[Any]) -> float:
    return round(float(seconds) * 1000, 3)


def main() -> None:
    """Measures every layout once, prints JSON, and keeps it under `<home>/bench`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300, help="of each layout")
    parser.add_argument("--seed", type=int, default=0, help="of the requests")
    arguments = parser.parse_args()
    settings = load_settings()
    requests = population_of(settings).draw(arguments.requests, arguments.seed)
    schedule = [(number * _FLOOR_GAP, request) for number, request in enumerate(requests)]
    with tempfile.TemporaryDirectory() as folder:
        layouts: dict[str, Callable[[], dict[str, Any]]] = {
            CASE_STUDY: lambda: measure_peer(settings, False, Path(folder), requests),
            CASE_STUDY_CACHED: lambda: measure_peer(settings, True, Path(folder), requests),
            FLOOR: lambda: _summary(measure_floor(settings, schedule)),
        }
        measured = {}
        for name, measure in layouts.items():
            sys.stderr.write(f"{name}: {len(requests)} requests, one after another\n")
            measured[name] = measure()
    report = {
        "layouts": measured,
        "settings": vars(arguments),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine()},
    }
    text = json.dumps(report, indent=1) + "\n"
    write_atomically((settings.home / "bench" / "peers.json").as_uri(), text.encode())
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
