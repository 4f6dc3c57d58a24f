"""Which items of a release are on sale at this moment, for all stages of a request to look at.

Runs in both environments.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np


class Availability(Protocol):
    """`AvailableItems`, or in its place what a release by itself says."""

    def on_sale(self, rows: np.ndarray) -> np.ndarray:
        """Which of the given item rows [m] a slate may show now: bool [m]."""


class AsReleased:
    """Every item of a release is on sale."""

    def on_sale(self, rows: np.ndarray) -> np.ndarray:
        """True [m] for rows [m]."""
        return np.ones(len(rows), dtype=bool)


class AvailableItems:
    """One bool an item, changed in place while requests look at it.

    What is changed together is seen together: a look sees all of a change or nothing.

    Args:
        item_ids: distinct, by row. All are on sale to begin with.
    """

    def __init__(self, item_ids: Sequence[str]) -> None:
        self._ids = item_ids
        # Four bytes an item; a dictionary takes some hundred.
        self._order = np.array(sorted(range(len(item_ids)), key=item_ids.__getitem__), np.int32)
        self._on_sale = np.ones(len(item_ids), dtype=bool)
        self._lock = threading.Lock()

    def on_sale(self, rows: np.ndarray) -> np.ndarray:
        """Which of the given item rows [m] a slate may show now: bool [m]."""
        with self._lock:
            return self._on_sale[rows]

    def change(self, on_sale: Mapping[str, bool]) -> None:
        """Changes items by id; those that the release does not hold are passed over."""
        found = {self._row(item_id): value for item_id, value in on_sale.items()}
        found.pop(None, None)
        rows, values = np.array(list(found), np.int32), np.array(list(found.values()), bool)
        with self._lock:
            self._on_sale[rows] = values

    def replace(self, off_sale: Iterable[str]) -> None:
        """Takes off sale the items of these ids, and no others."""
        off = set(off_sale)
        on_sale = np.fromiter((item_id not in off for item_id in self._ids), bool, len(self._ids))
        with self._lock:
            self._on_sale[:] = on_sale

    def count_off_sale(self) -> int:
        """Items of the release that no slate shows now."""
        return len(self._on_sale) - int(np.count_nonzero(self._on_sale))

    def _row(self, item_id: str) -> int | None:
        place = bisect_left(self._order, item_id, key=self._ids.__getitem__)
        if place == len(self._order) or self._ids[row := int(self._order[place])] != item_id:
            return None
        return row
