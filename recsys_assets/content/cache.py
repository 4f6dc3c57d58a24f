"""The cache of vectors by digest of their content.

It is 16 tables, `<name>/<first hex digit of the digest>`, each replaced atomically as soon as its
contents are encoded. So an encoder killed in the middle loses only the shard it was working on, a
few new contents rewrite a few megabytes, and encoding a whole catalogue writes each vector once.
Vectors of another encoder version are dropped when a shard is written.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.content.encoder import embeddings_from_arrow, embeddings_to_arrow
from recsys_assets.storage import Store, Table

SHARDS = "0123456789abcdef"


def shard_of(digest: str) -> str:
    """The shard that holds the vector of a content with this digest, one of `SHARDS`."""
    return digest[0]


@dataclass(frozen=True)
class VectorCache:
    """Vectors of one encoder version in the tables `name`; `key` is the column of digests."""

    store: Store
    name: str
    key: str
    version: str

    def read(self, shard: str) -> dict[str, np.ndarray]:
        """The vectors of a shard by digest."""
        table = self._table(shard)
        if not table.has():
            return {}
        rows = table.read()
        rows = rows.filter(pc.equal(rows["encoder_version"], self.version))
        if not len(rows):
            return {}
        return dict(
            zip(rows[self.key].to_pylist(), embeddings_from_arrow(rows["embedding"]), strict=True)
        )

    def write(self, shard: str, vectors: dict[str, np.ndarray]) -> None:
        """Replaces a shard by at least one vector."""
        self._table(shard).write(
            pa.table(
                {
                    self.key: pa.array(list(vectors), pa.string()),
                    "encoder_version": pa.array([self.version] * len(vectors), pa.string()),
                    "embedding": embeddings_to_arrow(np.stack(list(vectors.values()))),
                }
            )
        )

    def _table(self, shard: str) -> Table:
        return self.store.table(f"{self.name}/{shard}")
