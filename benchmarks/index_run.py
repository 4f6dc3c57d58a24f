"""Measures vector indexes, in the environment that serves them; `bench_index` starts it.

Each finished configuration is written at once, so that a run goes on where another one ended.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.synthetic_vectors import Vectors
from recsys_assets.models.index import index_kinds, index_measure
from recsys_assets.models.index.index_kinds import IndexParameters
from recsys_assets.models.towers import EMBEDDINGS
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store, write_atomically

_K = 100
_RECALL_QUERIES = 200
_SEARCHES = 1024
_SEARCH_SECONDS = 180.0
_SAMPLES_A_LIST = 64
_SAMPLES = 50_000  # to learn the range of each dimension from
_SAMPLE_QUERIES = "sample_queries.npy"
_LARGE = 4_000_000  # from here on graphs and lists are built with less care, to end in an hour
_ADVANCED = 0.2  # of a build, before what it will take is judged
_EFFORTS = {True: (100, 200, 400, 800), False: (4, 16, 64, 256)}


@dataclass(frozen=True)
class Bench:
    """What is measured, and where to.

    `queries` are float32 [m, d]; a build that takes longer than `build_seconds` is given up.
    """

    folder: Path
    catalogue: np.ndarray
    queries: np.ndarray
    build_seconds: float


class TooLong(Exception):
    """A build that would exceed its time; the message says how far it came."""


def configurations(count: int) -> list[IndexParameters]:
    """What is built at a size, the quickest first."""
    lists = 4096 if count >= _LARGE else min(int(4 * np.sqrt(count)), count // 39)
    quick = [
        IndexParameters("flat"),
        IndexParameters("ivfpq", effort=16, lists=lists),
        IndexParameters("ivfsq8", effort=16, lists=lists),
        IndexParameters("hnsw", effort=400, links=16, construction=40),
    ]
    thorough = [
        IndexParameters("hnswsq8", effort=400, links=16, construction=40),
        IndexParameters("hnsw", effort=400, links=32, construction=200),
    ]
    return quick if count >= _LARGE else quick + thorough


def run(bench: Bench, sizes: Sequence[int], kinds: Sequence[str]) -> None:
    """Measures what `bench.folder / "index.json"` does not hold yet of these sizes and kinds."""
    target = bench.folder / "index.json"
    import faiss

    bench.folder.mkdir(parents=True, exist_ok=True)
    found = json.loads(target.read_text()) if target.exists() else {"results": {}}
    found |= {
        "machine": describe_machine() | {"faiss": faiss.__version__},
        "settings": _settings(bench),
    }
    for count in sizes:
        for parameters in configurations(count):
            key = f"{count}/{parameters.name}"
            measured = "searches" in found["results"].get(key, {})
            if measured or parameters.kind not in kinds:
                continue
            _say(f"{key} ...")
            found["results"][key] = measure(bench, Vectors(bench.catalogue, count), parameters)
            write_atomically(target.as_uri(), json.dumps(found, indent=2).encode())


def measure(bench: Bench, vectors: Vectors, parameters: IndexParameters) -> dict[str, Any]:
    """Builds one index and searches it with each effort; `not_measured` says why not."""
    described: dict[str, Any] = {
        "size": vectors.count,
        "synthetic": vectors.synthetic,
        "name": parameters.name,
        "parameters": asdict(parameters),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    exact = _exact(bench, vectors)
    started = time.monotonic()
    try:
        index = _build(vectors, parameters, started + bench.build_seconds)
    except TooLong as reason:
        _say(str(reason))
        return {**described, "not_measured": str(reason)}
    described["build_seconds"] = round(time.monotonic() - started, 1)
    described["bytes"] = index_measure.serialized_bytes(index)
    flat = parameters.kind == "flat"
    efforts = (vectors.count,) if flat else _EFFORTS[index_kinds.is_graph(index)]
    searches = [_search(index, bench.queries, exact, effort) for effort in efforts]
    return {**described, "searches": searches, "load_average": os.getloadavg()[0]}


def _build(vectors: Vectors, parameters: IndexParameters, until: float) -> Any:
    import faiss

    faiss.omp_set_num_threads(1)
    started = time.monotonic()
    training = vectors.sample(max(_SAMPLES_A_LIST * parameters.lists, _SAMPLES))
    index = index_kinds.empty_index(vectors.catalogue.shape[1], parameters, training)
    if parameters.lists:
        _say(f"  trained in {time.monotonic() - started:.0f} s")
    started, shown = time.monotonic(), time.monotonic()
    for _, chunk in vectors.chunks():
        index.add(chunk)
        now, share = time.monotonic(), index.ntotal / vectors.count
        whole = (now - started) / share
        if now - shown > 20:
            shown = now
            _say(f"  {index.ntotal:,} added in {now - started:.0f} s, {whole:.0f} s in all?")
        if now > until or (share > _ADVANCED and started + whole > until):
            raise TooLong(
                f"given up: {index.ntotal:,} of {vectors.count:,} added in {now - started:.0f} s"
            )
    return index


def _search(index: Any, queries: np.ndarray, exact: np.ndarray, effort: int) -> dict[str, Any]:
    found = index_measure.search_with(index, queries[: len(exact)], _K, effort)
    share = index_measure.recalls(found, exact)
    timed = index_measure.latency(index, queries, _K, effort, _SEARCHES, _SEARCH_SECONDS)
    _say(f"  effort {effort}: recall {share.mean():.4f}, p50 {timed.p50_ms} ms")
    return {"effort": effort, "recall_at_100": round(float(share.mean()), 5), **asdict(timed)}


def _exact(bench: Bench, vectors: Vectors) -> np.ndarray:
    file = bench.folder / f"index-exact-{vectors.count}.npy"
    if not file.exists():
        queries = bench.queries[:_RECALL_QUERIES]
        np.save(file, index_measure.exact_nearest(vectors.chunks(), queries, _K))
    return np.asarray(np.load(file, allow_pickle=False))


def _settings(bench: Bench) -> dict[str, Any]:
    return {
        "k": _K,
        "dimensions": bench.catalogue.shape[1],
        "catalogue": len(bench.catalogue),
        "queries": len(bench.queries),
        "recall_queries": _RECALL_QUERIES,
        "threads": 1,
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")
    sys.stdout.flush()


def main() -> None:
    """Reads the catalogue of the settings and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument("--build-minutes", type=float, required=True)
    parser.add_argument("--kinds", nargs="+", required=True)
    arguments = parser.parse_args()
    settings = load_settings()
    store = Store(settings.storage_url)
    folders = [store.artifact(name).fetch() for name in ("item_embeddings", "two_tower")]
    bench = Bench(
        settings.home / "bench",
        np.load(folders[0] / EMBEDDINGS, allow_pickle=False),
        np.load(folders[1] / _SAMPLE_QUERIES, allow_pickle=False),
        arguments.build_minutes * 60,
    )
    run(bench, arguments.sizes, arguments.kinds)


if __name__ == "__main__":
    main()
