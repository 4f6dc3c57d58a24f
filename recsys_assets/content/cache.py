"""Every distinct text is encoded once: a cache of vectors by digest of the text.

The cache is 16 tables, `text_embeddings/<first hex digit of the digest>`, each replaced
atomically as soon as its texts are encoded. So an encoder killed in the middle loses only the
shard it was working on, a few new texts rewrite a few megabytes, and encoding a whole catalogue
writes each vector once. Vectors of another encoder version are dropped when a shard is written.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.content.encoder import Encoder, embeddings_from_arrow, embeddings_to_arrow
from recsys_assets.pace import Progress, silent
from recsys_assets.storage import Store, Table

SHARDS = "0123456789abcdef"
_AT_ONCE = 256


@dataclass(frozen=True)
class EncodedTexts:
    """`embeddings` float32 [n, d] in the order of the texts; how many were new, and how long."""

    embeddings: np.ndarray
    newly_encoded: int
    seconds: float


def encode_texts(
    texts: Sequence[str], encoder: Encoder, store: Store, progress: Progress = silent
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
    embeddings = np.empty((len(texts), encoder.dimensions), dtype=np.float32)
    started, newly_encoded, done = time.monotonic(), 0, 0
    for shard in SHARDS:
        rows = [row for row, digest in enumerate(digests) if digest[0] == shard]
        table = store.table(f"text_embeddings/{shard}")
        cached = _read(table, encoder.version)
        missing = [row for row in rows if digests[row] not in cached]
        if missing:
            for start in range(0, len(missing), _AT_ONCE):
                some = missing[start : start + _AT_ONCE]
                encoded = encoder.encode([texts[row] for row in some])
                cached |= {digests[row]: vector for row, vector in zip(some, encoded, strict=True)}
                progress(done + start + len(some), len(texts))
            _write(table, encoder.version, cached)
        if rows:
            embeddings[rows] = [cached[digests[row]] for row in rows]
        newly_encoded, done = newly_encoded + len(missing), done + len(rows)
    return EncodedTexts(embeddings, newly_encoded, time.monotonic() - started)


def _read(table: Table, version: str) -> dict[str, np.ndarray]:
    if not table.has():
        return {}
    rows = table.read()
    rows = rows.filter(pc.equal(rows["encoder_version"], version))
    if not len(rows):
        return {}
    return dict(
        zip(rows["text_sha256"].to_pylist(), embeddings_from_arrow(rows["embedding"]), strict=True)
    )


def _write(table: Table, version: str, vectors: dict[str, np.ndarray]) -> None:
    table.write(
        pa.table(
            {
                "text_sha256": pa.array(list(vectors), pa.string()),
                "encoder_version": pa.array([version] * len(vectors), pa.string()),
                "embedding": embeddings_to_arrow(np.stack(list(vectors.values()))),
            }
        )
    )
