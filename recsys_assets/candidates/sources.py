"""How each candidate source scores the items that it knows for a block of customers.

Every function takes a `Sources` of one day and rows of users int32 [n], -1 for a customer who has
bought nothing yet. None makes anything as large as customers times catalogue: a source knows a
few thousand items, however many there are. What a customer has bought already is taken out later,
for all sources alike.
"""

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
from scipy import sparse

from recsys_assets.candidates.ease import Ease
from recsys_assets.candidates.purchase_log import UNKNOWN, PurchaseLog
from recsys_assets.candidates.snapshot import RECENT_DAYS, PairCounts, PurchaseSnapshot
from recsys_assets.candidates.source_scores import NOT_OF_THIS_SOURCE, SourceScores
from recsys_assets.models.examples import DAY_SECONDS
from recsys_assets.models.item_history import Changes, promotions_at
from recsys_assets.settings.days import midnight

NEIGHBOURS = 200  # like-minded customers that are listened to
SEASON_DAYS = 90
SEASON_LAMBDA, SEASON_BUYERS = 300.0, 4
HABIT_DAYS = 56
RECENT_LINES = 80  # of a customer, that say what she buys now
_FINEST = ("category_l3", "category_l2", "category_l1")


@dataclass
class Sources:
    """What the sources of one day share.

    `promoted` float32 [items] is the larger share of stores that display or advertise an item.
    """

    known: PurchaseSnapshot
    promoted: np.ndarray

    @classmethod
    def on(cls, log: PurchaseLog, promotions: Changes, day: date) -> "Sources":
        """As of the moment that a day begins, from what is known of purchases and promotions."""
        start = int(midnight(day).timestamp())
        known = PurchaseSnapshot(log, start // DAY_SECONDS)
        plan = promotions_at(promotions, np.arange(known.items), np.array([start]))
        return cls(known, np.maximum(plan["display"], plan["mailer"]))

    @cached_property
    def ease(self) -> Ease:
        """Fitted on everything that was bought."""
        return Ease.fit(self.known.bought)

    @cached_property
    def season_ease(self) -> Ease:
        """Fitted on what was bought in the last three months."""
        lines = self.known.recent(SEASON_DAYS)
        return Ease.fit(self.known.incidence(lines), SEASON_LAMBDA, SEASON_BUYERS)

    @cached_property
    def profiles(self) -> sparse.csr_matrix:
        """What each customer bought of the m items that `ease` knows, 0/1 CSR [users, m]."""
        return self.known.bought[:, self.ease.columns]

    @cached_property
    def season_profiles(self) -> sparse.csr_matrix:
        """The same of the items that `season_ease` knows."""
        return self.known.bought[:, self.season_ease.columns]

    @cached_property
    def recency_profiles(self) -> sparse.csr_matrix:
        """A customer's last lines, the newest weighing most: CSR [users, m] as `profiles`."""
        known = self.known
        order = np.argsort(known.user, kind="stable")[::-1]  # by user, the newest line first
        user = known.user[order]
        starts = np.flatnonzero(np.r_[True, user[1:] != user[:-1]][: len(user)])
        place = np.arange(len(user)) - np.repeat(starts, np.diff(np.r_[starts, len(user)]))
        kept = place < RECENT_LINES
        weights = (1 / np.sqrt(place[kept] + 1)).astype(np.float32)
        rows, columns = user[kept], known.item[order][kept]
        weighed = sparse.csr_matrix((weights, (rows, columns)), shape=(known.users, known.items))
        return weighed[:, self.ease.columns]

    @cached_property
    def buyers(self) -> sparse.csr_matrix:
        """Which users have bought each item, 0/1 CSR [items, users]."""
        return sparse.csr_matrix(self.known.bought.T)

    @cached_property
    def sales(self) -> np.ndarray:
        """Purchased lines of each item in four weeks, float32 [items]."""
        return self.known.sales(RECENT_DAYS)

    @cached_property
    def sold_lately(self) -> np.ndarray:
        """Rows of the c items that were sold in four weeks, int64 [c], rising."""
        return np.flatnonzero(self.sales)

    @cached_property
    def recent_buyers(self) -> sparse.csr_matrix:
        """Which users bought each of `sold_lately` in four weeks, 0/1 CSR [c, users]."""
        lines = self.known.incidence(self.known.recent(RECENT_DAYS))
        return sparse.csr_matrix(lines[:, self.sold_lately].T)

    @cached_property
    def store_sales(self) -> PairCounts:
        """Lines of four weeks by store and place among `sold_lately`."""
        known, lines = self.known, self.known.recent(RECENT_DAYS)
        place = np.searchsorted(self.sold_lately, known.item[lines])
        return PairCounts.of(known.store[lines], place, len(self.sold_lately))

    @cached_property
    def habits(self) -> sparse.csr_matrix:
        """How often each customer bought each item, a line half as much after eight weeks.

        CSR [users, items].
        """
        known = self.known
        weights = (0.5 ** (known.days_ago / HABIT_DAYS)).astype(np.float32)
        return sparse.csr_matrix(
            (weights, (known.user, known.item)), shape=(known.users, known.items)
        )

    @cached_property
    def kind(self) -> np.ndarray:
        """The finest category of each item that the catalogue has, codes int32 [items]."""
        attributes = self.known.log.attributes
        for name in _FINEST:
            if name in attributes:
                return attributes[name]
        return np.zeros(self.known.items, dtype=np.int32)

    @cached_property
    def kinds_bought(self) -> PairCounts:
        """Lines by user and finest category."""
        return PairCounts.of(
            self.known.user, self.kind[self.known.item], int(self.kind.max(initial=0)) + 1
        )


def neighbours(sources: Sources, users: np.ndarray) -> SourceScores:
    """Items bought together with what she has bought, by EASE."""
    return _by_ease(sources.ease, sources.profiles, users)


def recent_neighbours(sources: Sources, users: np.ndarray) -> SourceScores:
    """The same for her last lines, the newest weighing most."""
    return _by_ease(sources.ease, sources.recency_profiles, users)


def season_neighbours(sources: Sources, users: np.ndarray) -> SourceScores:
    """Items bought in the last three months together with what she has bought, by EASE."""
    return _by_ease(sources.season_ease, sources.season_profiles, users)


def like_minded(sources: Sources, users: np.ndarray) -> SourceScores:
    """What customers who bought the same (cosine) have bought in the last four weeks."""
    bought = sources.known.bought
    size = np.sqrt(np.asarray(bought.sum(axis=1)).ravel() + 1)
    alike = (_rows(bought, users) @ sources.buyers).toarray() / size  # her own size orders nothing
    known = np.flatnonzero(users >= 0)
    alike[known, users[known]] = 0  # not herself
    if alike.shape[1] > NEIGHBOURS:
        least = np.partition(alike, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS]
        alike[alike < least[:, None]] = 0
    scores = np.ascontiguousarray((sources.recent_buyers @ alike.T).T, dtype=np.float32)
    return SourceScores(sources.sold_lately, _positive(scores))


def store_best_sellers(sources: Sources, users: np.ndarray) -> SourceScores:
    """What her store has sold most of in four weeks; without a store, all stores together."""
    store = np.append(sources.known.main_store, UNKNOWN)[users]
    scores = sources.store_sales.dense(np.maximum(store, 0))
    scores[store < 0] = sources.sales[sources.sold_lately]
    return SourceScores(sources.sold_lately, _positive(scores))


def promoted(sources: Sources, users: np.ndarray) -> SourceScores:
    """What is promoted of the kinds that she buys."""
    return _of_her_kinds(sources, users, np.flatnonzero(sources.promoted > 0))


def new_arrivals(sources: Sources, users: np.ndarray) -> SourceScores:
    """What was first sold within four weeks, of the kinds that she buys."""
    new = sources.known.days_since_first_sale <= RECENT_DAYS
    return _of_her_kinds(sources, users, np.flatnonzero(new))


def bought_before(sources: Sources, users: np.ndarray) -> SourceScores:
    """What she buys herself, most and latest first."""
    habits = _rows(sources.habits, users)
    items, place = np.unique(habits.indices, return_inverse=True)
    theirs = sparse.csr_matrix((habits.data, place, habits.indptr), (len(users), len(items)))
    return SourceScores(items, _positive(theirs.toarray()))


def _by_ease(ease: Ease, profiles: sparse.csr_matrix, users: np.ndarray) -> SourceScores:
    return SourceScores(ease.columns, ease.score(_rows(profiles, users)))


def _of_her_kinds(sources: Sources, users: np.ndarray, items: np.ndarray) -> SourceScores:
    """Lines of the item's kind that she bought, times the logarithm of the item's sales."""
    kinds = np.take(sources.kinds_bought.dense(users), sources.kind[items], axis=1)
    return SourceScores(items, kinds * np.log1p(sources.sales[items]))


def _rows(matrix: sparse.csr_matrix, users: np.ndarray) -> sparse.csr_matrix:
    """Rows of users; empty ones where the user is unknown."""
    known = users >= 0
    rows = matrix[users[known]]
    lengths = np.zeros(len(users), dtype=np.int64)
    lengths[known] = np.diff(rows.indptr)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return sparse.csr_matrix((rows.data, rows.indices, starts), (len(users), matrix.shape[1]))


def _positive(scores: np.ndarray) -> np.ndarray:
    return np.where(scores > 0, scores, NOT_OF_THIS_SOURCE)
