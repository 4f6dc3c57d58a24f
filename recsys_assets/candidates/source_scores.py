"""Scores of the items that a source knows; all other items take neither room nor time."""

from dataclasses import dataclass

import numpy as np

NOT_OF_THIS_SOURCE = np.float32(-np.inf)


@dataclass(frozen=True)
class SourceScores:
    """What a source says of c items to n customers.

    Attributes:
        items: int [c], rows of the catalogue, rising.
        values: float32 [n, c], an array that nobody else holds; higher is better, -inf = not of
            this source for that customer.

    Raises:
        ValueError: `items` are not one rising row of the catalogue for each column of `values`.
    """

    items: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.items):
            raise ValueError(
                f"scores of the shape {self.values.shape} for {len(self.items)} items: give a row "
                "for each customer and a column for each item"
            )
        falls = np.flatnonzero(np.diff(self.items) <= 0)
        if len(falls):
            one, other = self.items[falls[0] : falls[0] + 2]
            raise ValueError(
                f"scores of item {other} follow those of item {one}: give each item once, rising"
            )

    def exclude(self, request: np.ndarray, item: np.ndarray) -> None:
        """Takes m pairs of a request and an item out; those that it does not know are none."""
        place, known = self._places(item)
        self.values[request[known], place[known]] = NOT_OF_THIS_SOURCE

    def best(self, quota: int) -> tuple[np.ndarray, np.ndarray]:
        """Requests int64 [m] and items int [m] of the `quota` best of each request.

        Of equal ones the first in the catalogue come first; -inf is never among them.
        """
        if quota == 0:
            return np.zeros(0, np.int64), self.items[:0]
        if quota >= len(self.items):
            request, place = np.nonzero(self.values > NOT_OF_THIS_SOURCE)
            return request, self.items[place]
        least = np.partition(self.values, -quota, axis=1)[:, -quota, None]
        chosen = self.values > least
        left = quota - chosen.sum(axis=1)
        request, place = np.nonzero((self.values == least) & (least > NOT_OF_THIS_SOURCE))
        number = np.arange(len(request)) - np.searchsorted(request, request)  # among equal ones
        chosen[request, place] = number < left[request]
        request, place = np.nonzero(chosen)
        return request, self.items[place]

    def at(self, request: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Scores float32 [m] of pairs of a request and an item; -inf of an item not known."""
        place, known = self._places(item)
        scores = np.full(len(item), NOT_OF_THIS_SOURCE)
        scores[known] = self.values[request[known], place[known]]
        return scores

    def _places(self, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns of items [m], and whether they are known: bool [m]."""
        place = np.searchsorted(self.items, item)
        known = place < len(self.items)
        known[known] = self.items[place[known]] == item[known]
        return place, known
