"""The order in which ranked candidates are shown: diversity, and sampling. Pure numpy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

METHODS = ("mmr", "dpp")

# Of what makes an item new beside those taken, the least that is told from none in float32.
_NOTHING_NEW = np.float32(1e-6)
_LAST = np.float32(16)  # relevance and the log of the above together span less


@dataclass(frozen=True)
class Diversity:
    """Re-ranking of the best `pool` candidates, from relevance and how alike the items are.

    `trade_off` (lambda, theta) weighs relevance: 1 keeps the ranker's order, 0 looks at novelty
    alone. `method` is `mmr`, `maximal_marginal_relevance`, or `dpp`, `determinantal_map`; the
    same trade-off is not equally strong in both.
    """

    trade_off: float
    pool: int
    method: str = "mmr"

    def __post_init__(self) -> None:
        if not 0 <= self.trade_off <= 1:
            raise ValueError(f"diversity trade_off is {self.trade_off}: give 0 to 1")
        if self.pool < 1:
            raise ValueError(f"diversity pool is {self.pool}: give at least 1")
        if self.method not in METHODS:
            raise ValueError(f"diversity method is {self.method!r}: give {' or '.join(METHODS)}")


@dataclass(frozen=True)
class Sampling:
    """Sampling from the softmax of scores / `temperature`, reproducible; 0 is off."""

    temperature: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < np.inf:
            raise ValueError(f"sampling temperature is {self.temperature}: give 0 (off) or more")
        if self.seed < 0:
            raise ValueError(f"sampling seed is {self.seed}: give 0 or more")


def maximal_marginal_relevance(
    relevance: np.ndarray, vectors: np.ndarray, k: int, trade_off: float
) -> np.ndarray:
    """Greedy re-ranking: J. Carbonell and J. Goldstein, SIGIR 1998, doi:10.1145/290941.291025.

    Each step takes the item of the highest
    `trade_off * relevance - (1 - trade_off) * max cosine to the items already taken`.

    Args:
        relevance: float [m], scaled to [0, 1] by the caller.
        vectors: float32 [m, d], L2-normalised.
        k: how many to take, 1 to m.
        trade_off: lambda in [0, 1); with 1 the order of relevance is the answer.

    Returns:
        int64 [k], positions in the order of being taken.
    """
    # Both sides divided by 1 - trade_off: a step is then one product and three short operations.
    # Similarities are worked out for items taken only: of all pairs of the pool they are few.
    gain = (relevance * (trade_off / (1 - trade_off))).astype(np.float32)
    taken = np.empty(k, dtype=np.int64)
    taken[0] = best = gain.argmax()
    left = gain
    for step in range(1, k):
        beside = vectors.dot(vectors[best])
        np.subtract(gain, beside, out=beside)
        left = beside if step == 1 else np.minimum(left, beside, out=left)
        left[best] = -np.inf
        taken[step] = best = left.argmax()
    return taken


def determinantal_map(
    relevance: np.ndarray, vectors: np.ndarray, k: int, trade_off: float
) -> np.ndarray:
    """Greedy MAP inference of a determinantal point process, O(k m (k + d)).

    L. Chen, G. Zhang and E. Zhou, NeurIPS 2018, arXiv:1709.05135. Items i and j have the kernel
    `q_i q_j S_ij` with `q = exp(alpha * relevance)`, `alpha = theta / (2 (1 - theta))` and
    `S = (1 + cosine) / 2`, so that opposites are not taken for alike. Each step takes the item
    that raises the determinant most: its quality times what of it the items taken do not span,
    which is kept up to date by one row of the Cholesky factor a step. Quality is left out of the
    factor, where it only scales rows, so that no theta is too large for it.

    Args:
        relevance: float [m], scaled to [0, 1] by the caller.
        vectors: float32 [m, d], L2-normalised.
        k: how many to take, 1 to m. Once the items taken span all others, those come by relevance.
        trade_off: theta in [0, 1].

    Returns:
        int64 [k], positions in the order of being taken.
    """
    gain = (trade_off * relevance).astype(np.float32)
    weight = np.float32(1 - trade_off)
    taken = np.empty(k, dtype=np.int64)
    taken[0] = best = gain.argmax()
    new = np.ones(len(gain), dtype=np.float32)
    factor = np.empty((k, len(gain)), dtype=np.float32)
    for step in range(1, k):
        factor[step - 1] = 0
        if new[best] > _NOTHING_NEW:  # what is spanned already spans nothing more
            row = vectors.dot(vectors[best])
            row += 1
            row *= 0.5
            row -= factor[: step - 1, best] @ factor[: step - 1]
            row /= np.sqrt(new[best])
            factor[step - 1] = row
            new -= row * row
            np.maximum(new, _NOTHING_NEW, out=new)
        gain[best] = -np.inf
        raised = gain + weight * np.log(new)
        raised[new <= _NOTHING_NEW] -= _LAST
        taken[step] = best = raised.argmax()
    return taken


_REARRANGE = {"mmr": maximal_marginal_relevance, "dpp": determinantal_map}


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


def arrange(
    scores: np.ndarray,
    vectors: np.ndarray | Callable[[np.ndarray], np.ndarray],
    k: int,
    diversity: Diversity,
) -> np.ndarray:
    """Positions of the k items to show, in order.

    Args:
        scores: float [m].
        vectors: float32 [m, d], L2-normalised; or a function that gives those of the positions
            int64 [p] that it is called with. Only the pool's are asked for, and to copy those
            alone out of a table of all items is far cheaper than all candidates.
        k: at most m.
        diversity: applied among the best max(pool, k) by score.

    Returns:
        int64 [k].
    """
    if diversity.trade_off == 1 or k <= 1:
        return _best(scores, k)
    pool = _best(scores, max(diversity.pool, k))
    of_pool = vectors(pool) if callable(vectors) else vectors[pool]
    rearrange = _REARRANGE[diversity.method]
    return pool[rearrange(_relevance(scores[pool]), of_pool, k, diversity.trade_off)]


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """Positions of the best, in order; of equal ones the earlier first."""
    return np.argsort(-scores, kind="stable")[:count]


def _relevance(best: np.ndarray) -> np.ndarray:
    """Scores in falling order to [0, 1]; all 1 if they are equal."""
    spread = best[0] - best[-1]
    return (best - best[-1]) / spread if spread > 0 else np.ones(len(best))
