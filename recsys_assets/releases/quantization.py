"""A release in a lower precision: smaller embeddings, INT8 dense layers, chosen per release.

Done while a release is rendered, to its draft, from the float32 artifacts, which stay as they
are. What serves a release finds the precision in the files themselves.

What is kept in which form: `models/index/quantized_rows.py` (rows), `quantized_graphs.py` (graphs).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from recsys_assets.models.index.index import recall_at
from recsys_assets.models.index.index_kinds import effort_of, is_graph, set_effort
from recsys_assets.models.index.quantized_rows import RowPrecision, Rows
from recsys_assets.models.negatives import CANDIDATE_TOWER, RETRIEVAL
from recsys_assets.models.ranker import ITEM_VECTORS, item_vectors
from recsys_assets.pipeline.rank import ITEMS, TEXT_EMBEDDINGS, read_columns
from recsys_assets.releases.quantized_graphs import quantize_dense, quantize_tables

DensePrecision = Literal["fp32", "int8"]

_INDEX, _DESCRIPTION = "item_index/index.faiss", "item_index/index.json"
_SAMPLE_QUERIES = "two_tower/sample_queries.npy"
_RANKER = "dlrm/ranker.onnx"
_TOWERS = ("two_tower/query_tower.onnx", f"dlrm/{RETRIEVAL}/query_tower.onnx")


@dataclass(frozen=True)
class Precision:
    """How the numbers of a release are kept.

    Attributes:
        embeddings: text embeddings, item vectors, vectors of the index, embedding tables.
        dense: layers of the ranker.

    Raises:
        ValueError: another precision.
    """

    embeddings: RowPrecision = "fp32"
    dense: DensePrecision = "fp32"

    def __post_init__(self) -> None:
        for field, allowed in (("embeddings", RowPrecision), ("dense", DensePrecision)):
            value, names = getattr(self, field), get_args(allowed)
            if value not in names:
                raise ValueError(
                    f"precision of {field} is {value!r}: choose one of {', '.join(names)}"
                )

    @classmethod
    def of(cls, embeddings: str, dense: str) -> "Precision":
        """From names that have not been checked yet.

        Raises:
            ValueError: another precision.
        """
        return cls(cast(RowPrecision, embeddings), cast(DensePrecision, dense))


@dataclass(frozen=True)
class Sizes:
    """Bytes that a part takes in memory while it is served."""

    before: int
    after: int


def quantize_release(folder: Path, precision: Precision) -> dict[str, Sizes]:
    """Brings the served files of a draft into a precision, in place.

    Text embeddings and item vectors become `Rows`; the vectors, which are else made at load,
    take the place of the tower that makes them. The index keeps its graph over smaller vectors,
    and its stated recall is measured anew. In the exported models, embedding tables shrink, and
    with `dense` the ranker's layers; the query towers' layers stay, for INT8 gains them nothing.

    Args:
        folder: version folder of the pipeline in a draft: `two_tower/`, `item_index/`, `dlrm/`,
            items and text embeddings; float32.
        precision: fp32 in both fields changes nothing.

    Returns:
        Bytes by part before and after, of the parts that were changed: `text_embeddings`,
        `item_vectors`, `index_vectors`, `embedding_tables`, `dense_layers`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: values that the precision cannot hold, or a release that is not of float32.
    """
    sizes: dict[str, Sizes] = {}
    if precision.embeddings != "fp32":
        # Vectors before the text that they are made from.
        sizes["item_vectors"] = _item_vectors(folder, precision.embeddings)
        sizes["text_embeddings"] = _text_embeddings(folder, precision.embeddings)
        sizes |= _index(folder, precision.embeddings)
        sizes["embedding_tables"] = _summed(
            quantize_tables(folder / graph, precision.embeddings) for graph in (_RANKER, *_TOWERS)
        )
    if precision.dense != "fp32":
        text = np.abs(Rows.load(folder / TEXT_EMBEDDINGS)[:]).max(axis=0)
        sizes["dense_layers"] = Sizes(*quantize_dense(folder / _RANKER, {"item_text": text}))
    return sizes


def quantized_index(index: Any, precision: RowPrecision) -> Any:
    """A float32 FAISS index with its vectors in a precision.

    An HNSW index keeps its graph, which knows the exact distances, and inverted lists keep their
    centroids; the vectors go to a scalar quantizer, for int8 over the range of each dimension. An
    index that compresses by itself (IVF-PQ, or a byte a dimension) is returned as it is.

    Args:
        index: as `index_kinds.build` makes it.
        precision: of the vectors.
    """
    import faiss

    storage = _storage(index)
    if precision == "fp32" or not isinstance(storage, faiss.IndexFlat | faiss.IndexIVFFlat):
        return index
    vectors = storage.reconstruct_n(0, storage.ntotal)
    # The published types of FAISS say otherwise of what its constructors take.
    kinds: dict[str, Any] = {
        "fp16": faiss.ScalarQuantizer.QT_fp16,
        "int8": faiss.ScalarQuantizer.QT_8bit,
    }
    smaller = _without_vectors(index, kinds[precision])
    smaller.train(vectors)
    if is_graph(index):
        smaller.storage.add(vectors)
        smaller.hnsw, smaller.ntotal = index.hnsw, index.ntotal
    else:
        smaller.add(vectors)
    set_effort(smaller, effort_of(index))
    return smaller


def _without_vectors(index: Any, kind: Any) -> Any:
    """An index like another for vectors of a kind, without graph or vectors."""
    import faiss

    if is_graph(index):
        links = index.hnsw.nb_neighbors(1)
        return faiss.IndexHNSWSQ(index.d, kind, links, index.metric_type)
    if not isinstance(index, faiss.IndexIVFFlat):
        return faiss.IndexScalarQuantizer(index.d, kind, index.metric_type)
    centroids: Any = faiss.clone_index(index.quantizer)
    lists = faiss.IndexIVFScalarQuantizer(centroids, index.d, index.nlist, kind, index.metric_type)
    lists.own_fields = True
    centroids.this.disown()
    return lists


def _storage(index: Any) -> Any:
    """The index that holds the vectors: of an HNSW graph, the one under it."""
    import faiss

    return faiss.downcast_index(index.storage) if is_graph(index) else index


def _vector_bytes(index: Any) -> int:
    """Bytes of the vectors of an index, without graph or lists."""
    storage = _storage(index)
    return int(
        (storage.code_size if hasattr(storage, "nlist") else storage.sa_code_size()) * index.ntotal
    )


def _text_embeddings(folder: Path, precision: RowPrecision) -> Sizes:
    stored = _float_rows(folder / TEXT_EMBEDDINGS)
    smaller = Rows.of(stored[:], precision)
    smaller.save(folder / TEXT_EMBEDDINGS)
    return Sizes(stored.nbytes, smaller.nbytes)


def _item_vectors(folder: Path, precision: RowPrecision) -> Sizes:
    retrieval = folder / "dlrm" / RETRIEVAL
    text = _float_rows(folder / TEXT_EMBEDDINGS)
    exact = item_vectors(retrieval, read_columns(folder / ITEMS), text)
    smaller = Rows.of(exact[:], precision)
    smaller.save(retrieval / ITEM_VECTORS)
    (retrieval / CANDIDATE_TOWER).unlink()
    return Sizes(exact.nbytes, smaller.nbytes)


def _float_rows(file: Path) -> Rows:
    """Rows of a file that is about to be replaced: read, not mapped."""
    if not file.exists():
        raise FileNotFoundError(f"{file} does not exist: render the release again")
    rows = Rows(np.load(file, allow_pickle=False))
    if rows.precision != "fp32":
        raise ValueError(f"{file} is of {rows.precision} already: render the release again")
    return rows


def _index(folder: Path, precision: RowPrecision) -> dict[str, Sizes]:
    import faiss

    file = folder / _INDEX
    if not file.exists():
        raise FileNotFoundError(f"{file} does not exist: materialize item_index again")
    index = faiss.read_index(str(file))
    smaller = quantized_index(index, precision)
    if smaller is index:
        return {}
    vectors = _storage(index).reconstruct_n(0, index.ntotal)
    queries = np.load(folder / _SAMPLE_QUERIES, allow_pickle=False)
    described = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
    described["recall_at_100"] = recall_at(smaller, vectors, queries)
    (folder / _DESCRIPTION).write_text(json.dumps(described), encoding="utf-8")
    faiss.write_index(smaller, str(file))
    return {"index_vectors": Sizes(_vector_bytes(index), _vector_bytes(smaller))}


def _summed(sizes: Iterable[tuple[int, int]]) -> Sizes:
    pairs = list(sizes)
    return Sizes(sum(before for before, _ in pairs), sum(after for _, after in pairs))
