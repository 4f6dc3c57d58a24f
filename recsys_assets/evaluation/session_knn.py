"""Session-kNN: what past sessions that shared items with this one also held.

Ludewig and Jannach, Evaluation of session-based recommendation algorithms, UMUAI 2018 (arXiv
1803.09587), where neighbours beat recurrent networks on most sets of clicks. Of the past sessions
that share an item with the running one the latest are compared with it, by the cosine of their
items, in which later items of the running session weigh more (V-SKNN); the most similar ones vote
for their items.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Not tuned; `make bench-sessions` measures them. On a public sample of YOOCHOOSE (17,794 sessions,
# 2,933 items) 200 neighbours out of 1,000 were ahead by .007 of the hit rate at 20, 50 out of 500
# behind by .021.
NEIGHBOURS = 100
COMPARED = 500


@dataclass(frozen=True)
class SessionKnn:
    """A scorer of running sessions.

    Attributes:
        past: float32 [n, items], 1 where a session held an item; sessions by their end, the
            latest last.
        neighbours: how many of the most similar sessions vote.
        compared: how many of the latest sessions with an item in common are compared.
    """

    past: sparse.csr_matrix
    neighbours: int = NEIGHBOURS
    compared: int = COMPARED

    @classmethod
    def of(
        cls, session: np.ndarray, item: np.ndarray, time: np.ndarray, items: int
    ) -> "SessionKnn":
        """From the events of past sessions.

        Args:
            session: ids [events], of any kind that can be sorted.
            item: int [events], rows of the catalogue.
            time: [events], of any kind that can be sorted.
            items: size of the catalogue.
        """
        _, number = np.unique(session, return_inverse=True)
        ends = np.full(number.max(initial=-1) + 1, -np.inf)
        np.maximum.at(ends, number, time)
        row = np.argsort(np.argsort(ends, kind="stable"))[number]
        held = sparse.coo_matrix((np.ones(len(row)), (row, item)), (len(ends), items)).tocsr()
        held.data[:] = 1
        return cls(held.astype(np.float32))

    def scores(self, running: Sequence[Sequence[int]]) -> np.ndarray:
        """Scores of all items, 0 for those that no neighbour held.

        Memory grows with the past sessions that share an item: some hundred sessions at a time.

        Args:
            running: items of each session, rows of the catalogue, the first seen first.

        Returns:
            float32 [sessions, items]
        """
        shared = (_by_place(running, self.past.shape[1]) @ self.past.T).tocsr()
        shared.sort_indices()
        shared = _kept(shared, shared.indices, self.compared)
        lengths = np.sqrt(np.diff(self.past.indptr)).astype(np.float32)
        shared.data /= lengths[shared.indices]
        votes = _kept(shared, shared.data, self.neighbours)
        return (votes @ self.past).toarray()


def _by_place(running: Sequence[Sequence[int]], items: int) -> sparse.csr_matrix:
    """The weight of each item of a session, [sessions, items]: its last place over the length."""
    lengths = np.array([len(session) for session in running], dtype=np.int64)
    row = np.repeat(np.arange(len(running)), lengths)
    item = np.array([one for session in running for one in session], dtype=np.int64)
    place = np.arange(len(item)) - np.repeat(lengths.cumsum() - lengths, lengths) + 1
    keys, first_from_end = np.unique((row * items + item)[::-1], return_index=True)
    last = len(item) - 1 - first_from_end
    weights = (place[last] / lengths[row[last]]).astype(np.float32)
    return sparse.csr_matrix((weights, (keys // items, keys % items)), (len(running), items))


def _kept(rows: sparse.csr_matrix, by: np.ndarray, most: int) -> sparse.csr_matrix:
    """The entries of each row with the largest values `by` [entries], at most so many a row."""
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    order = np.lexsort((rows.indices, by, row))[::-1]
    rank = rows.indptr[row[order] + 1] - 1 - np.arange(len(order))[::-1]
    best = order[rank < most]
    return sparse.csr_matrix((rows.data[best], (row[best], rows.indices[best])), rows.shape)
