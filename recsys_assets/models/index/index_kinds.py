"""Kinds of vector index with their parameters, and how deep a request searches them.

Made with FAISS. Runs in both environments.

Every kind searches by inner product. What a search may look at, its *effort*, is the one number
that trades recall for time: candidates of a graph (`efSearch`), or lists probed (`nprobe`).
Evaluation searches as deep as serving does: figures are of what is served.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

GRAPHS = ("hnsw", "hnswsq8")
LISTS = ("ivfflat", "ivfsq8", "ivfpq")
KINDS = ("flat", *GRAPHS, *LISTS)
LOW, NORMAL, HIGH = "low", "normal", "high"
BUDGETS = (LOW, NORMAL, HIGH)
_STEP = 4  # a budget looks at this many times as much as the one below it
_PQ_BITS = 8
_SAMPLES = 39  # vectors a list: below it FAISS warns that lists are badly placed
LEAST_TO_TRAIN = 2 * _SAMPLES
_LEAST_LISTS = 16
_ROOM = 2  # vectors in the lists probed, on average, for each one wanted
_SEED = 1
_STEP_ASIDE = 1e-3  # of unit vectors: less changes nothing in a byte a dimension
CANDIDATES = 300  # asked of the index at first; 600 add a twentieth to recall@100 and 2 ms
RANKED = 100  # the best of those left after seen items are taken out
ENOUGH = 100  # left after seen items are taken out; else the search goes DEEPER times as deep
DEEPER = 4


@dataclass(frozen=True)
class IndexParameters:
    """How an index is built, and how far it is searched.

    `flat` is exact. `hnsw` is a graph (Malkov & Yashunin, arXiv 1603.09320) of `links` a vector
    (M), built looking at `construction` candidates. The others keep vectors in `lists` by nearest
    centroid and search `effort` of these. `…sq8` stores a byte a dimension in place of four,
    `ivfpq` half a byte (Jégou et al., "Product quantization for nearest neighbor search", 2011).
    """

    kind: str
    effort: int = 0
    links: int = 0
    construction: int = 0
    lists: int = 0

    @property
    def name(self) -> str:
        """Kind and what it is built with: `hnsw M32 efConstruction200`, `ivfpq 1215 lists`."""
        if self.kind in GRAPHS:
            return f"{self.kind} M{self.links} efConstruction{self.construction}"
        return f"{self.kind} {self.lists} lists" if self.kind in LISTS else self.kind


def default_parameters(kind: str, count: int) -> IndexParameters:
    """Those of a kind, for a catalogue of `count` items.

    Raises:
        ValueError: another kind, or too few items for it.
    """
    if kind not in KINDS:
        raise ValueError(f"index kind {kind!r} is not known: choose one of {', '.join(KINDS)}")
    if kind in GRAPHS:
        return IndexParameters(kind, effort=400, links=32, construction=200)
    if kind == "flat":
        return IndexParameters(kind)
    if count < LEAST_TO_TRAIN:
        raise ValueError(
            f"index kind {kind!r} cannot be trained on {count} items, it needs {LEAST_TO_TRAIN}: "
            "set RECSYS_INDEX=flat"
        )
    lists = min(int(4 * np.sqrt(count)), count // _SAMPLES)
    # An eighth of the lists finds what all of them do, in a fifth of the time (92,331 items).
    return IndexParameters(kind, effort=min(lists, max(_LEAST_LISTS, lists // 8)), lists=lists)


def empty_index(dimensions: int, parameters: IndexParameters, training: np.ndarray) -> Any:
    """An index without vectors, trained where its kind has something to learn.

    Args:
        dimensions: d.
        parameters: how to build it.
        training: float32 [m, d], a sample of what will be added.

    Raises:
        ValueError: no training vectors, or fewer than lists.
    """
    if len(training) < max(parameters.lists, 1):
        raise ValueError(
            f"index {parameters.name!r} cannot be trained on {len(training)} vectors: "
            "materialize index_tuning again, or set RECSYS_INDEX=flat"
        )
    index = _untrained(dimensions, parameters, len(training))
    if not index.is_trained:
        index.train(training)
    set_effort(index, parameters.effort)
    return index


def build(embeddings: np.ndarray, parameters: IndexParameters, threads: int | None = None) -> Any:
    """A FAISS index of the rows.

    Args:
        embeddings: float32 [n, d] of unit length.
        parameters: how to build it.
        threads: of FAISS, for the whole process; all cores if None.

    Raises:
        ValueError: too few items, or embeddings that are not finite.
    """
    import faiss

    if not np.isfinite(embeddings).all():
        raise ValueError("item embeddings hold values that are not finite: train two_tower again")
    faiss.omp_set_num_threads(threads or os.cpu_count() or 1)
    index = empty_index(embeddings.shape[1], parameters, embeddings)
    index.add(_apart(embeddings) if parameters.kind in GRAPHS else embeddings)
    return index


def _apart(vectors: np.ndarray) -> np.ndarray:
    """The vectors, of which those that repeat an earlier one are moved a little.

    A graph links a vector to the nearest ones: of copies beyond the number of links none has a
    link to anything else, and a search that comes to them ends there. New items without sales,
    which have text and category in common, are such copies.
    """
    rows = np.ascontiguousarray(vectors).view(f"V{vectors.itemsize * vectors.shape[1]}").ravel()
    copies = np.ones(len(vectors), dtype=bool)
    copies[np.unique(rows, return_index=True)[1]] = False
    if not copies.any():
        return vectors
    steps = np.random.default_rng(_SEED).normal(size=(int(copies.sum()), vectors.shape[1]))
    steps *= _STEP_ASIDE / np.linalg.norm(steps, axis=1, keepdims=True)
    moved = vectors.copy()
    moved[copies] += steps.astype(vectors.dtype)
    return moved


def _untrained(dimensions: int, parameters: IndexParameters, samples: int) -> Any:
    import faiss

    metric = faiss.METRIC_INNER_PRODUCT
    bytes_a_dimension: Any = faiss.ScalarQuantizer.QT_8bit
    if parameters.kind == "flat":
        return faiss.IndexFlatIP(dimensions)
    if parameters.kind in GRAPHS:
        graph: Any = (
            faiss.IndexHNSWFlat(dimensions, parameters.links, metric)
            if parameters.kind == "hnsw"
            else faiss.IndexHNSWSQ(dimensions, bytes_a_dimension, parameters.links, metric)
        )
        graph.hnsw.efConstruction = parameters.construction
        return graph
    centroids: Any = faiss.IndexFlatIP(dimensions)
    lists = parameters.lists
    index: Any
    if parameters.kind == "ivfpq":
        bits = min(_PQ_BITS, int(np.log2(samples / _SAMPLES)))
        index = faiss.IndexIVFPQ(centroids, dimensions, lists, dimensions // 2, bits, metric)
    elif parameters.kind == "ivfsq8":
        index = faiss.IndexIVFScalarQuantizer(
            centroids, dimensions, lists, bytes_a_dimension, metric
        )
    else:
        index = faiss.IndexIVFFlat(centroids, dimensions, lists, metric)
    index.own_fields = True
    centroids.this.disown()
    index.cp.seed = _SEED
    return index


def is_graph(index: Any) -> bool:
    """Whether its effort is `efSearch`, which must not be below k."""
    return hasattr(index, "hnsw")


def effort_of(index: Any) -> int:
    """What a search looks at: candidates, lists, or of a flat index every item."""
    if is_graph(index):
        return int(index.hnsw.efSearch)
    return int(index.nprobe) if hasattr(index, "nprobe") else int(index.ntotal)


def set_effort(index: Any, effort: int) -> None:
    """What a search looks at from now on; a flat index always looks at every item."""
    if is_graph(index):
        index.hnsw.efSearch = effort
    elif hasattr(index, "nprobe"):
        index.nprobe = effort


def budgets_of(index: Any) -> dict[str, int]:
    """Effort by name of the budget: what the index was made with is `normal`."""
    normal = effort_of(index)
    if not is_graph(index) and not hasattr(index, "nprobe"):
        return dict.fromkeys(BUDGETS, normal)
    most = int(index.ntotal) if is_graph(index) else int(index.nlist)
    high = max(normal, min(normal * _STEP, most))
    return {LOW: max(1, normal // _STEP), NORMAL: normal, HIGH: high}


def effort_for(index: Any, effort: int, k: int) -> int:
    """What a search for k items looks at: more than its effort if k is large.

    A graph looks at no fewer than k candidates; lists are probed that hold twice k vectors on
    average; a flat index looks at every item.
    """
    if is_graph(index):
        return max(effort, k)
    if hasattr(index, "nprobe"):
        holding = -(-_ROOM * k * index.nlist // max(index.ntotal, 1))
        return int(min(max(effort, holding), index.nlist))
    return int(index.ntotal)


def search_parameters(index: Any, effort: int, k: int) -> Any:
    """What FAISS takes with a single search for k items; None for a flat index."""
    import faiss

    looked_at = effort_for(index, effort, k)
    # Made by SWIG at run time, so unknown to type checkers.
    if is_graph(index):
        return getattr(faiss, "SearchParametersHNSW")(efSearch=looked_at)  # noqa: B009
    if hasattr(index, "nprobe"):
        return getattr(faiss, "SearchParametersIVF")(nprobe=looked_at)  # noqa: B009
    return None
