"""Baselines that a recommender has to beat, on the same split and the same catalogue.

Each function learns from `Split.history` and returns a `Scorer` of the requests. A household
without history gets equal scores, and so the most popular items (`slates.rank`).
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy import sparse

from recsys_assets.candidates.ease import LAMBDA, MIN_BUYERS, Ease
from recsys_assets.evaluation.split import Split
from recsys_assets.slates import Scorer

# On the last week of Complete Journey's history no other setting tried did clearly better: 20 and
# 500 neighbours; ALS of 16 to 128 factors, regularisation 0.01 to 30, alpha 1 to 10; EASE with
# lambda 300 and 3,000, and with 1 or 3 buyers.
KNN_NEIGHBOURS = 100
ALS_FACTORS = 64
ALS_REGULARISATION = 0.01
ALS_ALPHA = 1.0
ALS_ITERATIONS = 15
RP3_BETA = 0.5
THREADS = 2
_LAST = -1e9  # behind everything that has a score


def popularity(split: Split) -> Scorer:
    """Purchase events before the evaluated days, the same for everybody."""
    return _constant(split.purchases)


def popularity_recent(split: Split) -> Scorer:
    """Purchase events of the last 28 days of history."""
    return _constant(split.purchases_recent)


def item_knn(split: Split, neighbours: int = KNN_NEIGHBOURS) -> Scorer:
    """Sum of cosine similarities to what the household bought, the nearest neighbours kept.

    Sarwar et al., Item-based collaborative filtering, WWW 2001; neighbours by `implicit`.
    """
    from implicit.nearest_neighbours import CosineRecommender

    model = CosineRecommender(K=neighbours, num_threads=THREADS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it converts its own intermediate matrix to CSR
        model.fit(split.history, show_progress=False)
    similarity = sparse.csr_matrix(model.similarity, dtype=np.float32)
    return lambda start, stop: (split.requests.seen[start:stop] @ similarity).toarray()


def als(
    split: Split,
    seed: int = 0,
    factors: int = ALS_FACTORS,
    regularisation: float = ALS_REGULARISATION,
    alpha: float = ALS_ALPHA,
) -> Scorer:
    """Matrix factorisation of implicit feedback by alternating least squares (`implicit`).

    Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008.
    """
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularisation,
            alpha=alpha,
            iterations=ALS_ITERATIONS,
            num_threads=THREADS,
            random_state=seed,
        )
        model.fit(split.history, show_progress=False)
    known = split.history_row >= 0
    users = np.where(known[:, None], model.user_factors[np.maximum(split.history_row, 0)], 0)
    return lambda start, stop: users[start:stop] @ model.item_factors.T


def ease(split: Split, regularisation: float = LAMBDA, min_buyers: int = MIN_BUYERS) -> Scorer:
    """EASE, the closed-form linear autoencoder, over products with enough buyers.

    Products with fewer than `min_buyers` buyers follow after the others, by popularity.
    """
    fitted = Ease.fit(split.history, regularisation, min_buyers)
    return lambda start, stop: fitted.scores(split.requests.seen[start:stop], _LAST)


def rp3beta(split: Split, beta: float = RP3_BETA) -> Scorer:
    """Three steps of a random walk, user to item to user to item, less popular items' advantage.

    Paudel et al., Updatable, accurate, diverse, and scalable recommendations for interactive
    applications, ACM TiiS 7(1), 2017.

    Args:
        split: what to learn from.
        beta: power of an item's buyers that its probability is divided by.
    """
    history = sparse.csr_matrix(split.history, dtype=np.float32)
    buyers = np.asarray(history.sum(axis=0)).ravel()
    bought = np.asarray(history.sum(axis=1)).ravel()
    back = sparse.csr_matrix(sparse.diags(1 / np.maximum(buyers, 1)) @ history.T)
    forth = sparse.csr_matrix(sparse.diags(1 / np.maximum(bought, 1)) @ history)
    penalty = (np.maximum(buyers, 1) ** -beta).astype(np.float32)

    def scores(start: int, stop: int) -> np.ndarray:
        users = split.requests.seen[start:stop] @ back
        return (users @ forth).toarray().astype(np.float32) * penalty

    return scores


def _constant(values: np.ndarray) -> Scorer:
    scores = values.astype(np.float32)
    return lambda start, stop: np.tile(scores, (stop - start, 1))


BASELINES: dict[str, Callable[[Split], Scorer]] = {
    "popularity": popularity,
    "popularity_28d": popularity_recent,
    "item_knn": item_knn,
    "als": als,
    "ease": ease,
}
