"""The order in which ranked candidates are shown: diversity, and sampling. Pure numpy."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Diversity:
    """Maximal marginal relevance over the best `pool` candidates.

    `trade_off` is lambda: 1 keeps the ranker's order, 0 looks at novelty alone.
    """

    trade_off: float
    pool: int

    def __post_init__(self) -> None:
        if not 0 <= self.trade_off <= 1:
            raise ValueError(f"diversity trade_off is {self.trade_off}: give 0 to 1")
        if self.pool < 1:
            raise ValueError(f"diversity pool is {self.pool}: give at least 1")


@dataclass(frozen=True)
class Sampling:
    """Sampling from the softmax of scores / `temperature`, reproducible; 0 is off."""

    temperature: float
    seed: int

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"sampling temperature is {self.temperature}: give 0 (off) or more")


def maximal_marginal_relevance(
    relevance: np.ndarray, vectors: np.ndarray, k: int, trade_off: float
) -> np.ndarray:
    """Greedy re-ranking: J. Carbonell and J. Goldstein, SIGIR 1998, doi:10.1145/290941.291025.

    Each step takes the item of the highest
    `trade_off * relevance - (1 - trade_off) * max cosine to the items already taken`.

    Args:
        relevance: float [m], scaled to [0, 1] by the caller.
        vectors: float32 [m, d], L2-normalised.
        k: how many to take, at most m.
        trade_off: lambda in [0, 1].

    Returns:
        int64 [k], positions in the order of being taken.
    """
    taken = np.empty(k, dtype=np.int64)
    nearest = np.zeros(len(relevance), dtype=np.float32)
    gain = trade_off * relevance.astype(np.float32)
    for step in range(k):
        best = int(np.argmax(gain - (1 - trade_off) * nearest))
        taken[step] = best
        gain[best] = -np.inf
        similarity = vectors @ vectors[best]
        nearest = similarity if step == 0 else np.maximum(nearest, similarity)
    return taken


def perturb(scores: np.ndarray, sampling: Sampling, request: int) -> np.ndarray:
    """Scores whose descending order is a sample without replacement from their softmax.

    The Gumbel-top-k trick: W. Kool et al., ICML 2019, arXiv:1903.06059.

    Args:
        scores: float32 [m], log-probabilities up to a constant (logits).
        sampling: temperature > 0 and seed.
        request: a number that tells requests apart; the same one gives the same sample.

    Returns:
        float64 [m].
    """
    noise = np.random.default_rng([sampling.seed, request]).gumbel(size=len(scores))
    return scores / sampling.temperature + noise


def arrange(scores: np.ndarray, vectors: np.ndarray, k: int, diversity: Diversity) -> np.ndarray:
    """Positions of the k items to show, in order.

    Args:
        scores: float [m].
        vectors: float32 [m, d], L2-normalised.
        k: at most m.
        diversity: applied among the best max(pool, k) by score.

    Returns:
        int64 [k].
    """
    order = np.argsort(-scores, kind="stable")
    if diversity.trade_off == 1 or k <= 1:
        return order[:k]
    pool = order[: max(diversity.pool, k)]
    best = scores[pool]
    spread = best[0] - best[-1]
    relevance = (best - best[-1]) / spread if spread > 0 else np.ones(len(pool))
    return pool[maximal_marginal_relevance(relevance, vectors[pool], k, diversity.trade_off)]
