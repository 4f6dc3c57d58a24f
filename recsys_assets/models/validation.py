"""Retrieval quality on the validation week, by the protocol of the evaluation. Plain numpy.

One request per household, at its first first-time purchase of the week; every item of the
catalogue is ranked except those that the household had bought before; nothing is sampled.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_assets.events.ids import distinct
from recsys_assets.models.examples import Examples

DEPTH = 300
_CUTS = (10, 100, DEPTH)
_BLOCK = 128


@dataclass(frozen=True)
class ValidationWeek:
    """Requests of the validation week.

    Attributes:
        requests: one row per household.
        relevant: per request, the item rows bought for the first time in the week.
        seen: per request, the item rows bought before the week.
    """

    requests: Examples
    relevant: list[np.ndarray]
    seen: list[np.ndarray]

    @classmethod
    def of(cls, examples: Examples, households: int | None = None) -> "ValidationWeek":
        """From all examples, which hold every household's first purchase of every item.

        Args:
            examples: of the whole span.
            households: at most so many, the first by name; all by default.
        """
        week, past = examples.take(examples.validation), examples.take(~examples.validation)
        week = week.take(np.argsort(week.timestamp, kind="stable"))
        names, user = distinct(week.user["user_id"])
        users, first = names[:households].tolist(), np.unique(user, return_index=True)[1]
        first = first[:households]
        return cls(week.take(first), _items_of(users, week), _items_of(users, past))

    def top(self, queries: np.ndarray, items: np.ndarray, depth: int = DEPTH) -> np.ndarray:
        """Unseen item rows by falling inner product: int64 [requests, at most depth]."""
        depth = min(depth, len(items))
        best = np.empty((len(queries), depth), dtype=np.int64)
        for start in range(0, len(queries), _BLOCK):
            scores = queries[start : start + _BLOCK] @ items.T
            for row, score in enumerate(scores, start=start):
                score[self.seen[row]] = -np.inf
                top = np.argpartition(-score, depth - 1)[:depth]
                best[row] = top[np.argsort(-score[top], kind="stable")]
        return best

    def metrics(self, top: np.ndarray) -> dict[str, float]:
        """Recall at 10, 100 and 300 and NDCG at 10, means over households."""
        hits = [np.isin(row, items) for row, items in zip(top, self.relevant, strict=True)]
        counts = np.array([len(items) for items in self.relevant])
        recall = {
            f"recall_at_{k}": float(np.mean([h[:k].sum() for h in hits] / counts)) for k in _CUTS
        }
        gains = 1 / np.log2(np.arange(2, 12))
        ideal = np.cumsum(gains)[np.minimum(counts, 10) - 1]
        ndcg = np.array([(h[:10] * gains[: len(h[:10])]).sum() for h in hits]) / ideal
        return {**recall, "ndcg_at_10": float(ndcg.mean())}


def _items_of(users: Sequence[str], purchases: Examples) -> list[np.ndarray]:
    """The item rows of each of `users`."""
    place = {user: number for number, user in enumerate(users)}
    names = purchases.user["user_id"].tolist()
    position = np.fromiter((place.get(name, -1) for name in names), np.int64, len(names))
    order = np.argsort(position, kind="stable")
    items = purchases.item[order]
    bounds = np.searchsorted(position[order], np.arange(len(users) + 1))
    return [np.unique(items[a:b]) for a, b in itertools.pairwise(bounds)]
