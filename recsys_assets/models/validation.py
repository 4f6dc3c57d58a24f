"""Retrieval quality on the validation week, by the protocol of the evaluation.

One request per household, at its first first-time purchase of the week; every item of the
catalogue is ranked except those that the household had bought before; nothing is sampled.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from recsys_assets.events.contract import distinct
from recsys_assets.metrics import hits, ndcg, recall
from recsys_assets.models.examples import Examples
from recsys_assets.slates import DEPTH, rank

_CUTS = (10, 100, DEPTH)


@dataclass(frozen=True)
class ValidationWeek:
    """Requests of the validation week, one a household, over a catalogue.

    `relevant` and `seen` are 0/1 CSR [requests, items]: bought for the first time in the week, and
    bought before it.
    """

    requests: Examples
    relevant: sparse.csr_matrix
    seen: sparse.csr_matrix

    @classmethod
    def of(cls, examples: Examples, items: int) -> "ValidationWeek":
        """From all examples, which hold every household's first purchase of every item.

        Args:
            examples: of the whole span.
            items: of the catalogue.
        """
        week, past = examples.take(examples.validation), examples.take(~examples.validation)
        week = week.take(np.argsort(week.timestamp, kind="stable"))
        users, user = distinct(week.user["user_id"])
        first = np.unique(user, return_index=True)[1]
        place = {name: number for number, name in enumerate(users.tolist())}
        return cls(week.take(first), _bought(week, place, items), _bought(past, place, items))

    def metrics(self, queries: np.ndarray, items: np.ndarray) -> dict[str, float]:
        """Recall at 10, 100 and 300 and NDCG at 10, means over households.

        Args:
            queries: float32 [requests, d].
            items: float32 [items, d]; the largest inner products come first.
        """
        slates = rank(
            lambda start, stop: queries[start:stop] @ items.T, self.seen, np.zeros(len(items))
        )
        hit, counts = hits(slates, self.relevant), np.diff(self.relevant.indptr)
        return {
            **{f"recall_at_{k}": float(recall(hit, counts, k).mean()) for k in _CUTS},
            "ndcg_at_10": float(ndcg(hit, counts, 10).mean()),
        }


def _bought(purchases: Examples, place: dict[str, int], items: int) -> sparse.csr_matrix:
    """0/1 [users, items] of those users' purchases."""
    users = np.array([place.get(name, -1) for name in purchases.user["user_id"].tolist()], int)
    of_known = users >= 0
    pairs = np.unique(np.stack([users[of_known], purchases.item[of_known]]), axis=1)
    ones = np.ones(pairs.shape[1], dtype=np.int8)
    return sparse.csr_matrix((ones, (pairs[0], pairs[1])), shape=(len(place), items))
