"""How each candidate source scores the catalogue for a block of customers.

Every function takes a `Sources` of one day and rows of users int32 [n], -1 for a customer who has
bought nothing yet, and gives float32 [n, items]: higher is better, -inf is not of this source.
What a customer has bought already is taken out later, for all sources alike.
"""

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
from scipy import sparse

from recsys_assets.candidates.ease import Ease
from recsys_assets.candidates.purchase_log import UNKNOWN, PurchaseLog
from recsys_assets.candidates.snapshot import RECENT_DAYS, PairCounts, PurchaseSnapshot
from recsys_assets.models.examples import DAY_SECONDS
from recsys_assets.models.item_history import Changes, promotions_at
from recsys_assets.settings.days import midnight

NEIGHBOURS = 200  # like-minded customers that are listened to
SEASON_DAYS = 90
SEASON_LAMBDA, SEASON_BUYERS = 300.0, 4
HABIT_DAYS = 56
RECENT_LINES = 80  # of a customer, that say what she buys now
_FINEST = ("category_l3", "category_l2", "category_l1")
_NOT_OF_THIS_SOURCE = -np.inf


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
    def recent_purchases(self) -> sparse.csr_matrix:
        """What was bought in the last four weeks, 0/1 CSR [users, items]."""
        return self.known.incidence(self.known.recent(RECENT_DAYS))

    @cached_property
    def recency_profiles(self) -> sparse.csr_matrix:
        """A customer's last lines, the newest weighing most: CSR [users, items]."""
        known = self.known
        order = np.argsort(known.user, kind="stable")[::-1]  # by user, the newest line first
        user = known.user[order]
        starts = np.flatnonzero(np.r_[True, user[1:] != user[:-1]][: len(user)])
        place = np.arange(len(user)) - np.repeat(starts, np.diff(np.r_[starts, len(user)]))
        kept = place < RECENT_LINES
        weights = (1 / np.sqrt(place[kept] + 1)).astype(np.float32)
        rows, columns = user[kept], known.item[order][kept]
        return sparse.csr_matrix((weights, (rows, columns)), shape=(known.users, known.items))

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


def neighbours(sources: Sources, users: np.ndarray) -> np.ndarray:
    """Items bought together with what she has bought, by EASE."""
    return sources.ease.scores(_rows(sources.known.bought, users), _NOT_OF_THIS_SOURCE)


def recent_neighbours(sources: Sources, users: np.ndarray) -> np.ndarray:
    """The same for her last lines, the newest weighing most."""
    return sources.ease.scores(_rows(sources.recency_profiles, users), _NOT_OF_THIS_SOURCE)


def season_neighbours(sources: Sources, users: np.ndarray) -> np.ndarray:
    """Items bought in the last three months together with what she has bought, by EASE."""
    return sources.season_ease.scores(_rows(sources.known.bought, users), _NOT_OF_THIS_SOURCE)


def like_minded(sources: Sources, users: np.ndarray) -> np.ndarray:
    """What customers who bought the same (cosine) have bought in the last four weeks."""
    bought = sources.known.bought
    size = np.sqrt(np.asarray(bought.sum(axis=1)).ravel() + 1)
    alike = (_rows(bought, users) @ bought.T).toarray() / size  # her own size orders nothing
    known = np.flatnonzero(users >= 0)
    alike[known, users[known]] = 0  # not herself
    if alike.shape[1] > NEIGHBOURS:
        least = np.partition(alike, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS]
        alike[alike < least[:, None]] = 0
    scores = np.asarray((sources.recent_purchases.T @ alike.T).T, dtype=np.float32)
    return _only(scores, scores > 0)


def store_best_sellers(sources: Sources, users: np.ndarray) -> np.ndarray:
    """What her store has sold most of in four weeks; without a store, all stores together."""
    everywhere = sources.known.sales(RECENT_DAYS)
    store = np.append(sources.known.main_store, UNKNOWN)[users]
    scores = sources.known.store_sales(RECENT_DAYS).dense(np.maximum(store, 0))
    scores[store < 0] = everywhere
    return _only(scores, scores > 0)


def promoted(sources: Sources, users: np.ndarray) -> np.ndarray:
    """What is promoted of the kinds that she buys."""
    return _only(_of_her_kinds(sources, users), sources.promoted > 0)


def new_arrivals(sources: Sources, users: np.ndarray) -> np.ndarray:
    """What was first sold within four weeks, of the kinds that she buys."""
    return _only(_of_her_kinds(sources, users), sources.known.days_since_first_sale <= RECENT_DAYS)


def bought_before(sources: Sources, users: np.ndarray) -> np.ndarray:
    """What she buys herself, most and latest first."""
    scores = _rows(sources.habits, users).toarray()
    return _only(scores, scores > 0)


def _of_her_kinds(sources: Sources, users: np.ndarray) -> np.ndarray:
    """Lines of the item's kind that she bought, times the logarithm of the item's sales."""
    kinds = sources.kinds_bought.dense(users)[:, sources.kind]
    return kinds * np.log1p(sources.known.sales(RECENT_DAYS))


def _rows(matrix: sparse.csr_matrix, users: np.ndarray) -> sparse.csr_matrix:
    """Rows of users; empty ones where the user is unknown."""
    known = np.flatnonzero(users >= 0)
    ones = np.ones(len(known), dtype=np.float32)
    chosen = sparse.csr_matrix((ones, (known, users[known])), shape=(len(users), matrix.shape[0]))
    return sparse.csr_matrix(chosen @ matrix)


def _only(scores: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    return np.where(allowed, scores, np.float32(_NOT_OF_THIS_SOURCE)).astype(np.float32)
