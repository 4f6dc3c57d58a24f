"""What a vector index costs and finds: recall against exact search, latency, and size."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys_assets.models.index import index_kinds

_CHUNK = 65536
_WARM_UP = 20
_AT_LEAST = 30


@dataclass(frozen=True)
class SearchLatency:
    """Of single searches on one thread, milliseconds; `cpu` without the time spent waiting."""

    p50_ms: float
    p99_ms: float
    cpu_p50_ms: float
    cpu_p99_ms: float
    queries: int


def in_chunks(vectors: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Row of the first vector, and float32 [c, d], so that products with all fit in memory."""
    for start in range(0, len(vectors), _CHUNK):
        yield start, vectors[start : start + _CHUNK]


def exact_nearest(
    chunks: Iterable[tuple[int, np.ndarray]], queries: np.ndarray, k: int
) -> np.ndarray:
    """The k rows of largest inner product, by comparing with every vector.

    Args:
        chunks: row of the first vector, and float32 [c, d], one after another.
        queries: float32 [m, d].
        k: at most the number of all vectors.

    Returns:
        int64 [m, k], best first.
    """
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    for start, vectors in chunks:
        found = queries @ vectors.T
        numbers = np.broadcast_to(np.arange(start, start + len(vectors)), found.shape)
        scores, rows = _best(np.hstack([scores, found]), np.hstack([rows, numbers]), k)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1)


def _best(scores: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    if scores.shape[1] <= k:
        return scores, rows
    kept = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return np.take_along_axis(scores, kept, axis=1), np.take_along_axis(rows, kept, axis=1)


def recalls(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Share of `exact` int64 [m, k] in the first k of `found` int64 [m, >= k], float64 [m]."""
    k = exact.shape[1]
    pairs = zip(found[:, :k], exact, strict=True)
    return np.array([len(np.intersect1d(mine, best)) / k for mine, best in pairs])


def search_with(index: Any, queries: np.ndarray, k: int, effort: int) -> np.ndarray:
    """Rows int64 [m, k], best first, -1 where there are no more."""
    parameters = index_kinds.search_parameters(index, effort, k)
    return np.asarray(index.search(queries, k, params=parameters)[1])


def recall_by_budget(
    index: Any,
    embeddings: np.ndarray,
    queries: np.ndarray,
    budgets: Mapping[str, int],
    k: int = 100,
) -> dict[str, float]:
    """Share of the exact k best that the index finds with each budget, mean over queries."""
    exact = exact_nearest(in_chunks(embeddings), queries, min(k, len(embeddings)))
    return {
        budget: float(recalls(search_with(index, queries, exact.shape[1], effort), exact).mean())
        for budget, effort in budgets.items()
    }


def latency(
    index: Any, queries: np.ndarray, k: int, effort: int, count: int, seconds: float = 60.0
) -> SearchLatency:
    """Searches one query after another on one thread, `count` times or until `seconds` are over.

    Args:
        index: of FAISS.
        queries: float32 [m, d]; they take turns.
        k: rows to find.
        effort: what each search looks at.
        count: searches.
        seconds: after which no further search is begun, except that 30 are always made.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    parameters = index_kinds.search_parameters(index, effort, k)
    rows = [queries[n % len(queries)][None] for n in range(count)]
    wall: list[float] = []
    cpu: list[float] = []
    for query in rows[:_WARM_UP]:
        index.search(query, k, params=parameters)
    until = time.monotonic() + seconds
    for query in rows:
        if len(wall) >= _AT_LEAST and time.monotonic() > until:
            break
        started, started_cpu = time.perf_counter(), time.thread_time()
        index.search(query, k, params=parameters)
        cpu.append(time.thread_time() - started_cpu)
        wall.append(time.perf_counter() - started)
    return SearchLatency(*_percentiles(wall), *_percentiles(cpu), len(wall))


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return round(float(p50), 4), round(float(p99), 4)


def serialized_bytes(index: Any) -> int:
    """Size of its file, counted without keeping a copy of it."""
    import faiss

    total = 0

    def count(block: bytes) -> int:
        nonlocal total
        total += len(block)
        return len(block)

    faiss.write_index(index, getattr(faiss, "PyCallbackIOWriter")(count))  # noqa: B009
    return total
