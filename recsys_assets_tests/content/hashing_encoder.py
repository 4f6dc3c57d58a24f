"""An encoder without weights, that counts what it is asked for and can fail on demand."""

import hashlib
from collections.abc import Sequence

import dagster as dg
import numpy as np

from recsys_assets.content.encoder import Encoder


class HashingEncoder:
    """A unit vector drawn from the digest of the text."""

    name = "hashing"
    dimensions = 8

    def __init__(self, version: str = "hashing@1", fail_on: str | None = None) -> None:
        self.version = version
        self.fail_on = fail_on
        self.encoded: list[str] = []

    def encode(self, contents: Sequence[str]) -> np.ndarray:
        if self.fail_on in contents:
            raise RuntimeError(f"killed at {self.fail_on}")
        self.encoded += contents
        return np.stack([self.vector(text) for text in contents])

    def vector(self, text: str) -> np.ndarray:
        seed = int(hashlib.sha256((self.version + text).encode()).hexdigest()[:8], 16)
        vector = np.random.default_rng(seed).normal(size=self.dimensions)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


class HashingEncoderResource(dg.ConfigurableResource):
    """The same as a resource."""

    def get(self) -> Encoder:
        return HashingEncoder()
