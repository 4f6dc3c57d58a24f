"""What is known of purchases when a day begins: sums over the lines before it.

All that sources and ranker inputs say of a customer or a product comes from here, so that one
that is asked of a past day sees what was known then and nothing else. Each part is worked out
when it is first asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from recsys_assets.candidates.purchase_log import UNKNOWN, PurchaseLog

RECENT_DAYS = 28
_STORE_DAYS = 84  # a household moves, or changes its store; one visit on holiday does not count


@dataclass(frozen=True)
class PairCounts:
    """How often each pair of a row and a column occurs: sorted `keys` int64, `counts` float32."""

    keys: np.ndarray
    counts: np.ndarray
    width: int

    @classmethod
    def of(cls, rows: np.ndarray, columns: np.ndarray, width: int) -> "PairCounts":
        """Of n pairs; a row below 0 is unknown and counts nowhere."""
        known = rows >= 0
        keys, counts = np.unique(
            rows[known].astype(np.int64) * width + columns[known], return_counts=True
        )
        return cls(keys, counts.astype(np.float32), width)

    def at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Counts of m pairs, float32 [m]; 0 for a pair that never occurs."""
        return np.append(self.counts, np.float32(0))[self.places(rows, columns)]

    def places(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Where in `keys` m pairs are, int64 [m]; -1 for a pair that never occurs."""
        if not len(self.keys):
            return np.full(len(rows), UNKNOWN)
        keys = rows.astype(np.int64) * self.width + columns
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((self.keys[place] == keys) & (rows >= 0), place, UNKNOWN)

    def dense(self, rows: np.ndarray) -> np.ndarray:
        """Counts of whole rows, float32 [m, width]."""
        counts = np.zeros((len(rows), self.width), dtype=np.float32)
        starts = np.searchsorted(self.keys, rows.astype(np.int64) * self.width)
        ends = np.searchsorted(self.keys, (rows.astype(np.int64) + 1) * self.width)
        for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            counts[number, self.keys[start:end] % self.width] = self.counts[start:end]
        return counts


class PurchaseSnapshot:
    """Sums over all purchased lines before a day.

    Args:
        log: purchased lines; those of the day and after it are left out.
        day: days since 1970-01-01 UTC.
    """

    def __init__(self, log: PurchaseLog, day: int) -> None:
        self.log, self.day = log, day
        self.lines = int(np.searchsorted(log.day, day))
        self.users, self.items = len(log.user_ids), len(log.item_ids)
        self.user, self.item = log.user[: self.lines], log.item[: self.lines]
        self.days_ago = day - log.day[: self.lines]
        self.store = log.store[: self.lines]
        self.first = log.first[: self.lines]
        self.log_price = log.log_price[: self.lines]
        self.discount = log.discount[: self.lines]

    def rows_of(self, user_ids: Sequence[str]) -> np.ndarray:
        """Rows of users int32 [m]; -1 for one that has bought nothing yet, whatever comes later."""
        bought = np.unique(self.user)
        row = {self.log.user_ids[number]: number for number in bought.tolist()}
        return np.array([row.get(user, UNKNOWN) for user in user_ids], dtype=np.int32)

    def recent(self, days: int) -> slice:
        """The lines of the last `days` days."""
        return slice(int(np.searchsorted(-self.days_ago, -days)), self.lines)

    @cached_property
    def bought(self) -> sparse.csr_matrix:
        """Which items each user has bought, 0/1 CSR [users, items]."""
        return self.incidence(slice(0, self.lines))

    def incidence(self, lines: slice) -> sparse.csr_matrix:
        """Which users bought which items in these lines, 0/1 CSR [users, items]."""
        user, item = self.user[lines], self.item[lines]
        ones = np.ones(len(user), dtype=np.float32)
        matrix = sparse.csr_matrix((ones, (user, item)), shape=(self.users, self.items))
        matrix.data[:] = 1
        return matrix

    def sales(self, days: int) -> np.ndarray:
        """Purchased lines of each item in the last `days` days, float32 [items]."""
        return self._per_item(self.item[self.recent(days)])

    def first_sales(self, days: int) -> np.ndarray:
        """Of them, those with which a user bought the item for the first time."""
        lines = self.recent(days)
        return self._per_item(self.item[lines][self.first[lines]])

    def _per_item(self, rows: np.ndarray) -> np.ndarray:
        return np.bincount(rows, minlength=self.items).astype(np.float32)

    @cached_property
    def main_store(self) -> np.ndarray:
        """Where each user bought most lines in twelve weeks, int32 [users]; -1 = unknown."""
        lines = self.recent(_STORE_DAYS)
        visits = PairCounts.of(self.user[lines], self.store[lines], max(self.log.stores, 1))
        main = np.full(self.users, UNKNOWN, dtype=np.int32)
        order = np.argsort(visits.counts, kind="stable")  # the largest is written last
        known = order[visits.keys[order] >= 0]
        main[visits.keys[known] // visits.width] = visits.keys[known] % visits.width
        return main

    def store_sales(self, days: int) -> PairCounts:
        """Purchased lines by store and item in the last `days` days."""
        lines = self.recent(days)
        return PairCounts.of(self.store[lines], self.item[lines], self.items)

    @cached_property
    def item_log_price(self) -> np.ndarray:
        """Mean logarithm of the price of each item, float32 [items]; NaN = never priced."""
        return _mean(self.item, self.log_price, self.items)

    @cached_property
    def days_since_first_sale(self) -> np.ndarray:
        """Of each item, float32 [items]; infinite if it was never sold."""
        days = np.full(self.items, np.inf, dtype=np.float32)
        days[self.item[::-1]] = self.days_ago[::-1]  # the earliest is written last
        return days

    @cached_property
    def days_since_last_sale(self) -> np.ndarray:
        """Of each item, float32 [items]; infinite if it was never sold."""
        days = np.full(self.items, np.inf, dtype=np.float32)
        days[self.item] = self.days_ago
        return days

    def mean_of_items(self, values: np.ndarray, lines: slice) -> np.ndarray:
        """Mean of a value of lines, known ones alone, by item: float32 [items], NaN = none."""
        return _mean(self.item[lines], values[lines], self.items)

    def mean_of_users(self, values: np.ndarray) -> np.ndarray:
        """Mean of a value of all lines, known ones alone, by user: float32 [users], NaN = none."""
        return _mean(self.user, values, self.users)


def _mean(rows: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    known = np.isfinite(values)
    counts = np.bincount(rows[known], minlength=size)
    sums = np.bincount(rows[known], values[known], minlength=size)
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)
