"""Metrics of slates against what was relevant, and of classifiers. Plain numpy.

Values are per request, so that segments and intervals are means over any subset of requests; what
is of all requests together says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from recsys_assets.slates import PADDING

if TYPE_CHECKING:
    from scipy import sparse

RESAMPLES = 1000
LEVEL = 0.95
GROUPS = 50  # of the jackknife
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


def weighted_recall(slates: np.ndarray, worth: "sparse.csr_matrix", k: int) -> np.ndarray:
    """Share of the worth of a request's relevant items within its first k places.

    Args:
        slates: int32 [requests, >= k] of catalogue rows, padded with -1.
        worth: CSR [requests, items], above 0 for a relevant item, such as what was paid for it.
        k: length of the slate that counts.

    Returns:
        float64 [requests]; NaN where no relevant item is worth anything.
    """
    first = _first(slates, k)
    row = np.repeat(np.arange(len(first)), k)
    found = np.asarray(worth[row, first.ravel()]).reshape(first.shape)
    return _ratio((found * (first != PADDING)).sum(axis=1), np.asarray(worth.sum(axis=1)).ravel())


def coverage(slates: np.ndarray, items: int, k: int) -> float:
    """Share of the catalogue that appears in the first k places of any slate."""
    shown = slates[:, :k]
    return len(np.unique(shown[shown != PADDING])) / items


def gini(counts: np.ndarray, items: int) -> np.ndarray:
    """How unevenly places are dealt out: 0 = every item has as many, near 1 = few have all.

    The Gini index of how often each item is shown. Shani and Gunawardana, Evaluating
    recommendation systems, Recommender Systems Handbook, 2011.

    Args:
        counts: [..., m], on how many places each of m items is.
        items: how many there are; those beyond m are nowhere.

    Returns:
        float64 [...]; NaN where nothing is shown.
    """
    rising = np.sort(counts, axis=-1).astype(np.float64)
    rank = np.arange(items - counts.shape[-1], items) + 1
    return _ratio(rising @ (2 * rank - items - 1), items * rising.sum(axis=-1))


def novelty(slates: np.ndarray, purchases: np.ndarray, k: int) -> np.ndarray:
    """Mean self-information of the first k items, -log2 of an item's share of purchases, in bits.

    One purchase is added to each item, so that one that was never bought is very new instead of
    infinitely so. Zhou et al., Solving the apparent diversity-accuracy dilemma of recommender
    systems, PNAS 107(10), 2010.

    Args:
        slates: int32 [requests, >= k] of catalogue rows, padded with -1.
        purchases: [items], known before the slates.
        k: length of the slate that counts.

    Returns:
        float64 [requests]; NaN where nothing is shown.
    """
    information = -np.log2((purchases + 1) / (purchases.sum() + len(purchases)))
    first = _first(slates, k)
    shown = first != PADDING
    return _ratio((information[first] * shown).sum(axis=1), shown.sum(axis=1))


def intra_list_diversity(slates: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """Mean over all pairs of a slate's items of 1 - how alike they are.

    Ziegler et al., Improving recommendation lists through topic diversification, WWW 2005.

    Args:
        slates: int [requests, k], padded with -1.
        alike: float [requests, k, k], of the items on two places; 1 = the same.

    Returns:
        float64 [requests]; NaN for a slate of fewer than two items.
    """
    shown = slates != PADDING
    pairs = shown[:, :, None] & shown[:, None, :] & ~np.eye(slates.shape[1], dtype=bool)
    return _ratio(((1 - alike) * pairs).sum(axis=(1, 2)), pairs.sum(axis=(1, 2)))


def cosines(slates: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Cosine of the items on each two places, float [requests, k, k].

    Args:
        slates: int [requests, k], rows of `vectors`.
        vectors: float32 [items, d], L2-normalised.
    """
    shown = vectors[slates]
    return shown @ shown.transpose(0, 2, 1)


def shared_attributes(slates: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """Share of attributes that the items on each two places have in common.

    Args:
        slates: int [requests, k], rows of `attributes`.
        attributes: int [items, at least one attribute], codes; below 1 = missing, which no other
            item shares.

    Returns:
        float64 [requests, k, k]
    """
    of_places = attributes[slates]  # [requests, k, attributes]
    one, other = of_places[:, :, None], of_places[:, None, :]
    return ((one == other) & (one > 0)).mean(axis=-1)


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
    part = equal_parts(probability, bins)
    count = np.bincount(part, minlength=bins)
    predicted, observed = (
        np.bincount(part, values, minlength=bins) / np.maximum(count, 1)
        for values in (probability, label)
    )
    return [
        CalibrationBin(
            predicted=float(predicted[one]), observed=float(observed[one]), count=int(count[one])
        )
        for one in np.flatnonzero(count)
    ]


def equal_parts(values: np.ndarray, parts: int) -> np.ndarray:
    """The part from 0 to `parts` - 1 of each value [n], by rising value, all of one size."""
    part = np.empty(len(values), dtype=np.int64)
    order = np.argsort(values, kind="stable")
    part[order] = np.arange(len(values)) * parts // max(len(values), 1)
    return part


def expected_calibration_error(
    predicted: np.ndarray, positive: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """Mean distance of prediction and observed rate over the bins, by their examples.

    Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.

    Args:
        predicted: [..., bins], sum of the predicted probabilities in each bin.
        positive: [..., bins], how many examples of the bin are positive.
        count: [..., bins], how many there are.

    Returns:
        float64 [...]; NaN where there are no examples.
    """
    return _ratio(np.abs(predicted - positive).sum(axis=-1), count.sum(axis=-1))


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
        values: float [requests]; NaN says nothing and is left out.
        group: int [requests], from 0 on.
        seed: of the resampling.

    Raises:
        ValueError: there are no values.
    """
    known = ~np.isnan(values)
    values, group = values[known], group[known]
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


def jackknife_groups(n: int, seed: int = 0) -> np.ndarray:
    """The group of each of n customers, int64 [n]: drawn at random, all of one size."""
    return np.random.default_rng(seed).permutation(n) % max(min(n, GROUPS), 1)


def jackknife(value: float, without: np.ndarray) -> Estimate:
    """A figure of all customers together with its delete-a-group jackknife interval.

    For what is no mean over requests, such as the share of items that are shown to anybody: a
    bootstrap sample leaves out every third customer, and so is no picture of the whole. Shao and
    Wu, A general theory for jackknife variance estimation, Annals of Statistics 17(3), 1989.

    Args:
        value: of all of them.
        without: float [groups], the same without each of `jackknife_groups`.
    """
    known = without[np.isfinite(without)]  # without the only group there is, nothing is left
    variance = max(len(known) - 1, 0) * float(np.var(known)) if len(known) else 0.0
    margin = NormalDist().inv_cdf((1 + LEVEL) / 2) * variance**0.5
    return Estimate(value, value - margin, value + margin)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part over whole, NaN where the whole is 0."""
    whole = np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _first(places: np.ndarray, k: int) -> np.ndarray:
    if places.shape[1] < k:
        raise ValueError(f"slates hold {places.shape[1]} places, {k} are asked for")
    return places[:, :k]


def _positive(relevant: np.ndarray) -> np.ndarray:
    if (relevant < 1).any():
        raise ValueError("every request must have at least one relevant item")
    return relevant
