"""EASE, the closed-form linear autoencoder: item-to-item weights of what is bought together.

Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019 (arXiv 1905.03375).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

LAMBDA = 1000.0
MIN_BUYERS = 8
# The Gram matrix of the primal form: 20,000 items are 1.6 GB of float32 and about a minute.
MAX_ITEMS = 20_000
_BLOCK = 512

# Profiles [n, items] -> scores [n, items].
Scores = Callable[[sparse.csr_matrix], np.ndarray]


@dataclass(frozen=True)
class Ease:
    """Fitted weights over the items with enough buyers.

    Attributes:
        columns: int64 [m], those items.
        score: scores of profiles over them alone.
    """

    columns: np.ndarray
    score: Scores

    @classmethod
    def fit(
        cls,
        history: sparse.csr_matrix,
        regularisation: float = LAMBDA,
        min_buyers: int = MIN_BUYERS,
    ) -> "Ease":
        """From 0/1 CSR [users, items], in the form that has the smaller system to solve.

        Of more than `MAX_ITEMS` items with enough buyers, those with most buyers are taken.
        """
        buyers = np.bincount(history.indices, minlength=history.shape[1])
        columns = np.flatnonzero(buyers >= min_buyers)
        columns = np.sort(columns[np.argsort(-buyers[columns], kind="stable")[:MAX_ITEMS]])
        if not len(columns):
            return cls(columns, lambda profiles: np.zeros((profiles.shape[0], 0), np.float32))
        counted = history[:, columns].astype(np.float64)
        solve = dual if counted.shape[0] <= counted.shape[1] else primal
        return cls(columns, solve(counted, regularisation))

    def scores(self, profiles: sparse.csr_matrix, other: float) -> np.ndarray:
        """Scores float32 [n, items] of profiles CSR [n, items]; `other` for all other items."""
        everything = np.full(profiles.shape, other, dtype=np.float32)
        everything[:, self.columns] = self.score(profiles[:, self.columns])
        return everything


def dual(history: sparse.csr_matrix, regularisation: float) -> Scores:
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
    inverse = np.ascontiguousarray(linalg.cho_solve(factor, np.eye(len(gram)), check_finite=False))
    # diag(P) a = 1 - x_j' (XX' + aI)^-1 x_j for each item's column x_j, some columns at a time.
    columns = sparse.csr_matrix(history.T)
    diagonal = np.ones(columns.shape[0])
    for start in range(0, len(diagonal), _BLOCK):
        some = columns[start : start + _BLOCK]
        diagonal[start : start + _BLOCK] -= np.ravel(some.multiply(some @ inverse).sum(axis=1))

    # Solved in float64, applied in float32: scores only have to be ordered.
    weights, items = inverse.astype(np.float32), columns.astype(np.float32)
    divisor = diagonal.astype(np.float32)

    def scores(seen: sparse.csr_matrix) -> np.ndarray:
        overlap = (seen @ items).toarray().astype(np.float32)
        projected = np.ascontiguousarray((items @ (overlap @ weights).T).T)
        dense = seen.toarray().astype(np.float32)
        others = np.subtract(dense, projected, out=projected)
        others /= divisor
        return np.subtract(dense, others, out=others)

    return scores


def primal(history: sparse.csr_matrix, regularisation: float) -> Scores:
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
