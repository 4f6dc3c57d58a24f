"""Vector index over item embeddings by inner product, with FAISS. Runs in both environments."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("flat", "hnsw", "ivfpq")

_INDEX = "index.faiss"
_DESCRIPTION = "index.json"
_HNSW_LINKS = 32
_HNSW_BUILD = 200
_HNSW_SEARCH = 400
_PQ_BITS = 8
_IVF_SAMPLES = 39  # vectors a list: below it FAISS warns that lists are badly placed
_SEED = 1


@dataclass(frozen=True)
class IndexDescription:
    """What `index.json` says: kind, items, dimensions, and recall at 100 against exact search."""

    kind: str
    items: int
    dimensions: int
    recall_at_100: float


def build(embeddings: np.ndarray, kind: str) -> Any:
    """A FAISS index of the rows.

    `flat` is exact. `hnsw` (Malkov & Yashunin, arXiv 1603.09320) is the default. `ivfpq` (Jégou
    et al., "Product quantization for nearest neighbor search", 2011) takes a fraction of the
    memory: d/2 bytes a vector, in place of 4 d.

    Args:
        embeddings: float32 [n, d] of unit length.
        kind: one of `KINDS`.

    Raises:
        ValueError: another kind, too few items for it, or embeddings that are not finite.
    """
    import faiss

    if kind not in KINDS:
        raise ValueError(f"index kind {kind!r} is not known: choose one of {', '.join(KINDS)}")
    if not np.isfinite(embeddings).all():
        raise ValueError("item embeddings hold values that are not finite: train two_tower again")
    faiss.omp_set_num_threads(os.cpu_count() or 1)  # searching may have set it to one
    dimensions = embeddings.shape[1]
    index: Any
    if kind == "flat":
        index = faiss.IndexFlatIP(dimensions)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimensions, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _HNSW_BUILD
        index.hnsw.efSearch = _HNSW_SEARCH
    else:
        index = _ivfpq(embeddings)
    index.add(embeddings)
    return index


def _ivfpq(embeddings: np.ndarray) -> Any:
    import faiss

    count, dimensions = embeddings.shape
    if count < 2 * _IVF_SAMPLES:
        raise ValueError(
            f"index kind 'ivfpq' cannot be trained on {count} items, it needs {2 * _IVF_SAMPLES}: "
            "set RECSYS_INDEX=flat"
        )
    lists = min(int(4 * np.sqrt(count)), count // _IVF_SAMPLES)
    bits = min(_PQ_BITS, int(np.log2(count / _IVF_SAMPLES)))
    quantizer: Any = faiss.IndexFlatIP(dimensions)
    index = faiss.IndexIVFPQ(
        quantizer, dimensions, lists, dimensions // 2, bits, faiss.METRIC_INNER_PRODUCT
    )
    index.own_fields = True
    quantizer.this.disown()
    index.cp.seed = _SEED
    index.train(embeddings)
    index.nprobe = lists
    return index


def recall_at(index: Any, embeddings: np.ndarray, queries: np.ndarray, k: int = 100) -> float:
    """Share of the exact k best that the index finds, mean over queries float32 [m, d]."""
    k = min(k, len(embeddings))
    _, found = index.search(queries, k)
    shares = []
    for row, query in zip(found, queries, strict=True):
        scores = embeddings @ query
        exact = np.argpartition(-scores, k - 1)[:k]
        shares.append(len(np.intersect1d(row, exact)) / k)
    return float(np.mean(shares))


def write_index(
    folder: Path, index: Any, item_ids: list[str], description: IndexDescription
) -> None:
    """Writes `index.faiss`, `index.json` and `item_ids.json`."""
    import faiss

    faiss.write_index(index, str(folder / _INDEX))
    (folder / _DESCRIPTION).write_text(json.dumps(asdict(description)), encoding="utf-8")
    (folder / "item_ids.json").write_text(json.dumps(item_ids), encoding="utf-8")


class ItemIndex:
    """A stored index.

    Args:
        folder: a version of the artifact `item_index`.
        threads: of FAISS, for the whole process.

    Raises:
        FileNotFoundError: the folder holds no index.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import faiss

        file = folder / _INDEX
        if not file.exists():
            raise FileNotFoundError(f"{file} does not exist: materialize item_index again")
        faiss.omp_set_num_threads(threads)
        self._index: Any = faiss.read_index(str(file))
        self._search_parameters: Any = getattr(faiss, "SearchParametersHNSW")  # noqa: B009
        self.description = IndexDescription(
            **json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        )

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k items with the largest inner products.

        Args:
            queries: float32 [n, d].
            k: at least 1. An HNSW index looks at no fewer than k candidates.

        Returns:
            Rows int64 [n, k], positions in `item_ids.json`, best first, and scores float32
            [n, k]. Where the index holds or finds fewer than k, rows end in -1.
        """
        if hasattr(self._index, "hnsw") and k > self._index.hnsw.efSearch:
            parameters = self._search_parameters(efSearch=k)
            scores, rows = self._index.search(queries, k, params=parameters)
        else:
            scores, rows = self._index.search(queries, k)
        return rows, scores
