"""Metrics of slates against what was relevant, and of classifiers. Plain numpy.

Values are per request, so that segments and intervals are means over any subset of requests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from recsys_assets.slates import PADDING

if TYPE_CHECKING:
    from scipy import sparse

RESAMPLES = 1000
LEVEL = 0.95
_SMALLEST = 1e-12

# hit [requests, k], relevant [requests], k -> float64 [requests]
Metric = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A mean over requests with the limits of its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


class CalibrationBin(TypedDict):
    """Examples of similar predicted probability."""

    predicted: float
    observed: float
    count: int


def hits(slates: np.ndarray, relevant: "sparse.csr_matrix") -> np.ndarray:
    """Which places of the slates hold a relevant item: bool [requests, k]."""
    n, items = relevant.shape
    if slates.shape[0] != n:
        raise ValueError(f"{slates.shape[0]} slates for {n} requests: they must match row by row")
    matrix = relevant.tocoo()
    wanted = matrix.row.astype(np.int64) * items + matrix.col
    keys = np.arange(n, dtype=np.int64)[:, None] * items + slates
    return np.isin(keys, wanted) & (slates != PADDING)


def recall(hit: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Share of a request's relevant items within its first k places: float64 [requests].

    Args:
        hit: bool [requests, >= k], from `hits`.
        relevant: number of relevant items of each request, at least 1.
        k: length of the slate that counts.
    """
    return _first(hit, k).sum(axis=1) / _positive(relevant)


def pooled_recall(hit: np.ndarray, relevant: np.ndarray, k: int) -> float:
    """Hits of all requests over relevant items of all requests: every purchase counts alike."""
    return float(_first(hit, k).sum() / _positive(relevant).sum())


def ndcg(hit: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain of the first k places: float64 [requests].

    Gains are 0 or 1, the discount of place i (from 1) is 1 / log2(i + 1), and the ideal has
    min(k, relevant) hits on top. Järvelin and Kekäläinen, ACM TOIS 20(4), 2002.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(_positive(relevant), k) - 1]
    return (_first(hit, k) @ discounts) / ideal


def coverage(slates: np.ndarray, items: int, k: int) -> float:
    """Share of the catalogue that appears in the first k places of any slate."""
    shown = slates[:, :k]
    return len(np.unique(shown[shown != PADDING])) / items


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half; NaN where a class is missing.

    Args:
        label: bool [n].
        score: float [n].
    """
    _, position, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[position]
    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    return float((rank[label].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats."""
    clipped = np.clip(probability, _SMALLEST, 1 - _SMALLEST)
    return float(-np.mean(np.where(label, np.log(clipped), np.log1p(-clipped))))


def calibration(label: np.ndarray, probability: np.ndarray, bins: int = 10) -> list[CalibrationBin]:
    """Mean prediction and observed rate in `bins` parts of equal size, by rising prediction."""
    order = np.argsort(probability, kind="stable")
    return [
        CalibrationBin(
            predicted=float(probability[part].mean()),
            observed=float(label[part].mean()),
            count=len(part),
        )
        for part in np.array_split(order, bins)
        if len(part)
    ]


def bootstrap(values: np.ndarray, seed: int = 0) -> Estimate:
    """Mean of per-request values with a percentile interval over resampled requests.

    Requests (households) are what is independent, so they are what is drawn. Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993.

    Args:
        values: float [requests], one value per request; a difference of two methods gives the
            paired interval of their difference.
        seed: of the resampling.

    Raises:
        ValueError: there are no values.
    """
    if not len(values):
        raise ValueError("bootstrap: no requests in this segment")
    n = len(values)
    draws = np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n), dtype=np.int32)
    means = values[draws].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(values.mean()), float(low), float(high))


def bootstrap_groups(values: np.ndarray, group: np.ndarray, seed: int = 0) -> Estimate:
    """As `bootstrap`, where requests of one group (a customer's weeks) depend on each other.

    Groups are drawn, each with all its requests: a cluster bootstrap of a ratio, sums of values
    over numbers of requests. Davison and Hinkley, Bootstrap Methods and their Application, 1997.

    Args:
        values: float [requests].
        group: int [requests], from 0 on.
        seed: of the resampling.

    Raises:
        ValueError: there are no values.
    """
    if not len(values):
        raise ValueError("bootstrap: no requests in this segment")
    sums, counts = np.bincount(group, values), np.bincount(group)
    present = counts > 0
    sums, counts = sums[present], counts[present]
    n = len(counts)
    draws = np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n), dtype=np.int32)
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(values.mean()), float(low), float(high))


def _first(hit: np.ndarray, k: int) -> np.ndarray:
    if hit.shape[1] < k:
        raise ValueError(f"slates hold {hit.shape[1]} places, {k} are asked for")
    return hit[:, :k]


def _positive(relevant: np.ndarray) -> np.ndarray:
    if (relevant < 1).any():
        raise ValueError("every request must have at least one relevant item")
    return relevant
