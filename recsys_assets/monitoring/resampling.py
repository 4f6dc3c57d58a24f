"""Bootstrap draws of what is independent in a frame of rows that are not.

Lines of a basket are alike, and so are sessions of a household. So households are drawn, with all
their rows. Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 10.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys_assets.distinct import distinct
from recsys_assets.monitoring.profile import count_by


@dataclass(frozen=True)
class Households:
    """The independent parts of a frame, and bootstrap draws of them.

    `row` int64 [rows] is each row's household, `weights` float64 [resamples, households] how
    often each is drawn. An anonymous row is a household of its own.
    """

    row: np.ndarray
    weights: np.ndarray

    @classmethod
    def draw(cls, users: pl.Series, resamples: int, rng: np.random.Generator) -> "Households":
        """Draws as many households as there are, with replacement."""
        own = pl.int_range(len(users), eager=True).cast(pl.String)
        name = pl.select(pl.when(users == "").then("anonymous " + own).otherwise("user " + users))
        _, row = distinct(name.to_series().to_numpy())
        return cls(row, draw_counts(int(row.max(initial=-1)) + 1, resamples, rng))

    def __len__(self) -> int:
        return self.weights.shape[1]

    def counts(self, bins: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows by bin: of all, [width], and of each draw, [resamples, width]."""
        table = count_by(bins, self.row, width, len(self)).astype(np.float64)
        return table.sum(axis=0), self.weights @ table

    def sums(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of columns, float64 [rows, c]: of all, [c], and of each draw, [resamples, c]."""
        table = np.zeros((len(self), numbers.shape[1]))
        np.add.at(table, self.row, numbers)
        return table.sum(axis=0), self.weights @ table


def draw_counts(count: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of `count` is drawn in `count` draws with replacement, [resamples, count]."""
    if not count:
        return np.zeros((resamples, 0))
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
