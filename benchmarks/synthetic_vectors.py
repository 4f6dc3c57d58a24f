"""Vectors like a catalogue's, as many as wanted: to measure an index beyond the catalogue.

The first are the catalogue itself. Each further one is an item moved by a small part of the
difference of two others, `normalise(a + 0.1 (b - c))`, items drawn at random: so clusters stay
where they are, and noise has the catalogue's own covariance instead of filling directions that
no item takes. With 0.1, nearest neighbours are as near as the catalogue's (median cosine 0.998
for either, at the size of the catalogue). They are not items of any shop.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_SHARE = 0.1
_CHUNK = 65536
_SEED = 20


@dataclass(frozen=True)
class Vectors:
    """The first `count` of the catalogue and what is drawn from it; never all in memory.

    Args:
        catalogue: float32 [n, d] of unit length.
        count: vectors in all; below n, the first of the catalogue.
    """

    catalogue: np.ndarray
    count: int

    @property
    def synthetic(self) -> int:
        """How many are drawn."""
        return max(0, self.count - len(self.catalogue))

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Row of the first vector, and float32 [c, d]; the same at every call and every count."""
        real = self.catalogue[: self.count]
        for start in range(0, len(real), _CHUNK):
            yield start, real[start : start + _CHUNK]
        for start in range(len(real), self.count, _CHUNK):
            yield start, self._drawn(start)[: self.count - start]

    def _drawn(self, start: int) -> np.ndarray:
        random = np.random.default_rng([_SEED, start])
        a, b, c = random.integers(0, len(self.catalogue), size=(3, _CHUNK))
        moved = self.catalogue[a] + _SHARE * (self.catalogue[b] - self.catalogue[c])
        unit: np.ndarray = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        return unit.astype(np.float32)

    def sample(self, count: int) -> np.ndarray:
        """About `count` of them, evenly over all, float32 [m, d]: all if there are no more."""
        share = min(1.0, count / self.count)
        random = np.random.default_rng(_SEED)
        parts = [
            chunk[random.random(len(chunk)) < share] if share < 1 else chunk
            for _, chunk in self.chunks()
        ]
        return np.concatenate(parts)
