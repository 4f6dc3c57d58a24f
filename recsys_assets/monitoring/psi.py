"""Distances between two histograms, and the bins that histograms are made with. Plain numpy.

Distributions are compared as histograms with the same bins. Empty bins are smoothed by Jeffreys'
prior: half a count is added to every bin of both sides, so a share is (c + 1/2) / (n + K/2) with
c counts of n in one of K bins. All functions take counts whose last axis is the bins; the axes
before it broadcast, so a thousand bootstrap replicates are one call.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

PRIOR = 0.5
MISSING = "(missing)"
OTHER = "(other)"
UNKNOWN = "(unknown)"


def shares(counts: np.ndarray) -> np.ndarray:
    """Smoothed shares, float64 [..., bins]: positive, and each row sums to 1.

    Args:
        counts: numbers >= 0, [..., bins].
    """
    raised = np.asarray(counts, np.float64) + PRIOR
    return raised / raised.sum(axis=-1, keepdims=True)


def psi(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Population stability index, the sum of (q - p) ln(q / p) over the bins, float64 [...].

    It is KL(q|p) + KL(p|q), symmetric and in nats; 0.1 is usually called a shift worth a look and
    0.25 a large one. Siddiqi, Credit Risk Scorecards, 2006.

    Args:
        expected: counts of the reference, [..., bins]; p are their smoothed shares.
        actual: counts to compare, [..., bins]; q likewise.
    """
    p, q = shares(expected), shares(actual)
    return ((q - p) * np.log(q / p)).sum(axis=-1)


def kl(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence of `actual` from `expected`, sum of q ln(q / p), in nats.

    Args:
        actual: counts, [..., bins]; q are their smoothed shares.
        expected: counts of the reference, [..., bins]; p likewise.
    """
    q, p = shares(actual), shares(expected)
    return (q * np.log(q / p)).sum(axis=-1)


def total_variation(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Half the sum of |q - p|: the least share of the rows that fell into another bin."""
    return np.abs(shares(actual) - shares(expected)).sum(axis=-1) / 2


@dataclass(frozen=True)
class NumberBins:
    """Bins of numbers: up to each of the rising `edges` (included), beyond them, and missing."""

    edges: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, count: int) -> "NumberBins":
        """Quantile bins of the reference, at most `count`, fewer where values repeat.

        A smallest or largest value that fills a bin, as the only value of a constant column does,
        has it to itself, and what the reference never went beyond has one more: there a column
        moves that has not moved before.

        Args:
            values: float64 [n], NaN where missing.
            count: bins wanted, beside those of missing values and beyond the ends.
        """
        known = values[~np.isnan(values)]
        if not len(known):
            return cls(np.empty(0))
        inner = np.arange(1, count) / count
        edges = np.unique(np.quantile(known, inner, method="inverted_cdf"))
        ends = edges[(edges == known.min()) | (edges == known.max())]
        return cls(np.unique(np.concatenate([edges, _just_below(ends)])))

    @property
    def labels(self) -> list[str]:
        """What each bin holds."""
        if not len(self.edges):
            return ["(any)", MISSING]
        below = set(_just_below(self.edges).tolist())
        ranges = []
        for edge, following in zip(self.edges, [*self.edges[1:], np.inf], strict=True):
            if edge in below:
                ranges.append(f"< {following:.6g}")
            else:
                alone = _just_below(edge) in self.edges
                ranges.append(f"{'=' if alone else '<='} {edge:.6g}")
        return [*ranges, f"> {self.edges[-1]:.6g}", MISSING]

    def assign(self, values: np.ndarray) -> np.ndarray:
        """Bin of each value (float64 [n]), int64 [n]."""
        bins = np.searchsorted(self.edges, values, side="left")
        return np.where(np.isnan(values), len(self.edges) + 1, bins)


@dataclass(frozen=True)
class CategoryBins:
    """Bins of strings: the most frequent of the reference, its others, never seen, and missing."""

    top: tuple[str, ...]
    others: frozenset[str]

    @classmethod
    def fit(cls, values: np.ndarray, count: int) -> "CategoryBins":
        """The `count` most frequent values of the reference, ties by name.

        Args:
            values: object [n], "" where missing.
            count: values with a bin of their own.
        """
        counts = Counter(values.tolist())
        del counts[""]
        ordered = sorted(counts, key=lambda name: (-counts[name], name))
        return cls(tuple(ordered[:count]), frozenset(ordered[count:]))

    @property
    def labels(self) -> list[str]:
        """What each bin holds."""
        return [*self.top, OTHER, UNKNOWN, MISSING]

    def assign(self, values: np.ndarray) -> np.ndarray:
        """Bin of each value (object [n]), int64 [n]."""
        row_of = {name: row for row, name in enumerate(self.top)}
        row_of |= {name: len(self.top) for name in self.others} | {"": len(self.top) + 2}
        unknown = len(self.top) + 1
        bins = (row_of.get(value, unknown) for value in values.tolist())
        return np.fromiter(bins, np.int64, len(values))


Bins = NumberBins | CategoryBins


def _just_below(values: np.ndarray) -> np.ndarray:
    """The largest float64 smaller than each."""
    return np.nextafter(values, -np.inf)


def fit_bins(values: np.ndarray, numbers: int, categories: int) -> Bins:
    """Bins for a column: object arrays are strings, all else numbers."""
    if values.dtype == object:
        return CategoryBins.fit(values, categories)
    return NumberBins.fit(values, numbers)
