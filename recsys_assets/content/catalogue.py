"""From texts to the table `item_text_embeddings`; each distinct text is encoded once."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.content.cache import SHARDS, VectorCache, shard_of
from recsys_assets.content.encoder import Encoder, embeddings_from_arrow, embeddings_to_arrow
from recsys_assets.runtime.pace import Progress, silent
from recsys_assets.storage import Store

_AT_ONCE = 256
UNIT_NORM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class EncodedTexts:
    """`embeddings` float32 [n, d] in the order of the texts; how many were new, and how long."""

    embeddings: np.ndarray
    newly_encoded: int
    seconds: float


def encode_texts(
    texts: Sequence[str], encoder: Encoder[str], store: Store, progress: Progress = silent
) -> EncodedTexts:
    """Vectors of distinct texts, from the cache where this encoder version has seen the text.

    Args:
        texts: distinct texts.
        encoder: encodes what the cache lacks.
        store: holds the cache.
        progress: counts texts, those from the cache too.

    Raises:
        ValueError: a text is given twice.
    """
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    if len(set(digests)) != len(digests):
        raise ValueError("encode_texts: give every text once; deduplicate before the call")
    cache = VectorCache(store, "text_embeddings", "text_sha256", encoder.version)
    embeddings = np.empty((len(texts), encoder.dimensions), dtype=np.float32)
    started, newly_encoded, done = time.monotonic(), 0, 0
    for shard in SHARDS:
        rows = [row for row, digest in enumerate(digests) if shard_of(digest) == shard]
        cached = cache.read(shard)
        missing = [row for row in rows if digests[row] not in cached]
        if missing:
            for start in range(0, len(missing), _AT_ONCE):
                some = missing[start : start + _AT_ONCE]
                encoded = encoder.encode([texts[row] for row in some])
                cached |= {digests[row]: vector for row, vector in zip(some, encoded, strict=True)}
                progress(done + start + len(some), len(texts))
            cache.write(shard, cached)
        if rows:
            embeddings[rows] = [cached[digests[row]] for row in rows]
        newly_encoded, done = newly_encoded + len(missing), done + len(rows)
    return EncodedTexts(embeddings, newly_encoded, time.monotonic() - started)


@dataclass(frozen=True)
class CatalogueEmbeddings:
    """What was written: distinct `texts` with their vectors, and a digest of table and encoder."""

    items: int
    items_without_text: int
    texts: list[str]
    encoded: EncodedTexts
    digest: str


def embed_items(
    store: Store, encoder: Encoder[str], progress: Progress = silent
) -> CatalogueEmbeddings:
    """Writes `item_text_embeddings`: one row per row of `items`, in its order.

    An item without text shares the vector of the empty text.

    Raises:
        ValueError: the catalogue is empty.
    """
    items = store.table("items").read(columns=["item_id", "text"])
    if not len(items):
        raise ValueError("table 'items' is empty: materialize it from a source with a catalogue")
    texts = pc.fill_null(items["text"], "").combine_chunks().dictionary_encode()
    distinct = texts.dictionary.to_pylist()
    encoded = encode_texts(distinct, encoder, store, progress)
    embedding = embeddings_to_arrow(encoded.embeddings[texts.indices.to_numpy()])
    store.table("item_text_embeddings").write(
        pa.table({"item_id": items["item_id"], "embedding": embedding})
    )
    digest = hashlib.sha256(encoder.version.encode())
    for column in ("item_id", "text"):
        for value in items[column].to_pylist():
            digest.update(b"\0" if value is None else value.encode() + b"\n")
    return CatalogueEmbeddings(
        items=len(items),
        items_without_text=pc.sum(pc.equal(texts.cast(pa.string()), "")).as_py(),
        texts=distinct,
        encoded=encoded,
        digest=digest.hexdigest()[:16],
    )


@dataclass(frozen=True)
class EmbeddingFaults:
    """Counts of what `item_text_embeddings` must not hold, and the norms that were seen."""

    not_finite: int
    not_unit_norm: int
    repeated_items: int
    items_without_embedding: int
    unknown_items: int
    smallest_norm: float
    largest_norm: float

    @property
    def poison(self) -> bool:
        """Whether the table is unfit for use."""
        return bool(self.not_finite or self.not_unit_norm or self.repeated_items)

    @property
    def any(self) -> bool:
        """Whether it is unfit, or not of the catalogue as it is now."""
        return self.poison or bool(self.items_without_embedding or self.unknown_items)


def embedding_faults(store: Store) -> EmbeddingFaults:
    """Compares `item_text_embeddings` with `items` and looks at every vector."""
    rows = store.table("item_text_embeddings").read()
    embeddings = embeddings_from_arrow(rows["embedding"])
    finite = np.isfinite(embeddings).all(axis=1)
    norms = np.linalg.norm(embeddings, axis=1)
    unit = np.abs(norms - 1) <= UNIT_NORM_TOLERANCE
    embedded = set(rows["item_id"].to_pylist())
    catalogue = set(store.table("items").read(columns=["item_id"])["item_id"].to_pylist())
    return EmbeddingFaults(
        not_finite=int((~finite).sum()),
        not_unit_norm=int((finite & ~unit).sum()),
        repeated_items=len(rows) - len(embedded),
        items_without_embedding=len(catalogue - embedded),
        unknown_items=len(embedded - catalogue),
        smallest_norm=float(norms.min(initial=np.inf)),
        largest_norm=float(norms.max(initial=-np.inf)),
    )
