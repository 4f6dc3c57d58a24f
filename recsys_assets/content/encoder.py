"""What every content encoder offers, so that texts, and later images, are interchangeable.

Here: the interface and the Arrow form of embeddings. Not here: models (`sentence_bert.py`) and
the cache of what has been encoded (`cache.py`).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa


class MissingWeights(FileNotFoundError):
    """Files of an encoder that are not where its settings say."""

    def __init__(self, encoder: str, path: str, remedy: str) -> None:
        super().__init__(f"encoder {encoder}: {path} does not exist; {remedy}")


class Encoder(Protocol):
    """Turns pieces of content into vectors of one space.

    `version` names the weights and everything else that decides the output, so a vector that was
    stored under a version is the vector that encoding again would give.
    """

    @property
    def name(self) -> str:
        """Model name, for people."""

    @property
    def version(self) -> str:
        """Name and digest of everything that decides the output."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    def encode(self, contents: Sequence[str]) -> np.ndarray:
        """Encodes texts (an image encoder: image paths) to float32 [n, dimensions] of unit norm."""


def embeddings_to_arrow(embeddings: np.ndarray) -> pa.FixedSizeListArray:
    """float32 [n, d] as an Arrow column of fixed-size lists."""
    flat = pa.array(np.ascontiguousarray(embeddings, dtype=np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1])


def embeddings_from_arrow(column: pa.ChunkedArray | pa.FixedSizeListArray) -> np.ndarray:
    """The inverse of `embeddings_to_arrow`: float32 [n, d]."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = array.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(array), array.type.list_size)
