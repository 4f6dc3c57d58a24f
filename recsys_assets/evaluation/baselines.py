"""Baselines that a recommender has to beat, on the same split and the same catalogue.

Each function learns from `Split.history` and returns a `Scorer` of the requests. A household
without history gets equal scores, and so the most popular items (`slates.rank`).
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy import sparse

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
EASE_LAMBDA = 1000.0
EASE_MIN_BUYERS = 8
# The Gram matrix of the primal form: 20,000 items are 1.6 GB of float32 and about a minute.
EASE_MAX_ITEMS = 20_000
THREADS = 2
_BLOCK = 512


def popularity(split: Split) -> Scorer:
    """Purchase events before the evaluated days, the same for everybody."""
    return _constant(split.purchases)


def popularity_recent(split: Split) -> Scorer:
    """Purchase events of the last 28 days of history."""
    return _constant(split.purchases_recent)


def item_knn(split: Split) -> Scorer:
    """Sum of cosine similarities to what the household bought, 100 neighbours per item kept.

    Sarwar et al., Item-based collaborative filtering, WWW 2001; neighbours by `implicit`.
    """
    from implicit.nearest_neighbours import CosineRecommender

    model = CosineRecommender(K=KNN_NEIGHBOURS, num_threads=THREADS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it converts its own intermediate matrix to CSR
        model.fit(split.history, show_progress=False)
    similarity = sparse.csr_matrix(model.similarity, dtype=np.float32)
    return lambda start, stop: (split.requests.seen[start:stop] @ similarity).toarray()


def als(split: Split, seed: int = 0) -> Scorer:
    """Matrix factorisation of implicit feedback by alternating least squares (`implicit`).

    Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008.
    """
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=ALS_FACTORS,
            regularization=ALS_REGULARISATION,
            alpha=ALS_ALPHA,
            iterations=ALS_ITERATIONS,
            num_threads=THREADS,
            random_state=seed,
        )
        model.fit(split.history, show_progress=False)
    known = split.history_row >= 0
    users = np.where(known[:, None], model.user_factors[np.maximum(split.history_row, 0)], 0)
    return lambda start, stop: users[start:stop] @ model.item_factors.T


def ease(
    split: Split, regularisation: float = EASE_LAMBDA, min_buyers: int = EASE_MIN_BUYERS
) -> Scorer:
    """EASE, the closed-form linear autoencoder, over products with enough buyers.

    Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019 (arXiv 1905.03375).
    Products with fewer than `min_buyers` buyers follow after the others, by popularity.
    """
    buyers = np.bincount(split.history.indices, minlength=split.history.shape[1])
    columns = np.flatnonzero(buyers >= min_buyers)
    columns = np.sort(columns[np.argsort(-buyers[columns], kind="stable")[:EASE_MAX_ITEMS]])
    history = split.history[:, columns].astype(np.float64)
    scorer = ease_dual if history.shape[0] <= history.shape[1] else ease_primal
    score = scorer(history, regularisation)
    floor = -1e9

    def scores(start: int, stop: int) -> np.ndarray:
        seen = split.requests.seen[start:stop]
        everything = np.full(seen.shape, floor, dtype=np.float32)
        everything[:, columns] = score(seen[:, columns])
        return everything

    return scores


def ease_dual(
    history: sparse.csr_matrix, regularisation: float
) -> Callable[[sparse.csr_matrix], np.ndarray]:
    """EASE by a system as large as the number of users; exact, for fewer users than items.

    With X the history, the paper's P = (X'X + aI)^-1 is (I - X'(XX' + aI)^-1 X) / a by the
    Woodbury identity, so scores X B = X - (X P) / diag(P) need no items x items matrix:
    2,469 users and 16,649 items take seconds and 200 MB instead of minutes and gigabytes.

    Returns:
        A function of seen [n, items] that gives scores [n, items].
    """
    from scipy import linalg

    gram = (history @ history.T).toarray()
    gram[np.diag_indices_from(gram)] += regularisation
    factor = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    inverse = linalg.cho_solve(factor, np.eye(len(gram)), check_finite=False)
    # diag(P) a = 1 - x_j' (XX' + aI)^-1 x_j for each item's column x_j.
    diagonal = 1 - np.asarray(history.multiply((history.T @ inverse).T).sum(axis=0)).ravel()

    # Solved in float64, applied in float32: scores only have to be ordered.
    weights, items = inverse.astype(np.float32), sparse.csr_matrix(history.T, dtype=np.float32)

    def scores(seen: sparse.csr_matrix) -> np.ndarray:
        overlap = (seen @ items).toarray().astype(np.float32)
        projected = (items @ (overlap @ weights).T).T
        dense = seen.toarray().astype(np.float32)
        return dense - (dense - projected) / diagonal.astype(np.float32)

    return scores


def ease_primal(
    history: sparse.csr_matrix, regularisation: float
) -> Callable[[sparse.csr_matrix], np.ndarray]:
    """EASE by the paper's items x items system, in place, for more users than items.

    Peak memory is one float32 matrix of items x items, and blocks of 512 of its columns.

    Returns:
        A function of seen [n, items] that gives scores [n, items].
    """
    from scipy import linalg

    items = history.shape[1]
    columns = sparse.csc_matrix(history, dtype=np.float32)
    rows = sparse.csr_matrix(columns.T)
    inverse = np.empty((items, items), dtype=np.float32, order="F")
    for start in range(0, items, _BLOCK):
        inverse[:, start : start + _BLOCK] = (rows @ columns[:, start : start + _BLOCK]).toarray()
    inverse[np.diag_indices_from(inverse)] += regularisation
    inverse, failed = linalg.lapack.spotrf(inverse, lower=1, overwrite_a=1)
    if not failed:
        inverse, failed = linalg.lapack.spotri(inverse, lower=1, overwrite_c=1)
    if failed:
        raise ValueError(f"EASE: the Gram matrix is not positive definite (LAPACK info {failed})")
    diagonal = inverse.diagonal().copy()

    def scores(seen: sparse.csr_matrix) -> np.ndarray:
        dense = np.asfortranarray(seen.toarray().astype(np.float32))
        product = linalg.blas.ssymm(1.0, inverse, dense, side=1, lower=1)  # seen @ P
        return dense - product / diagonal

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
