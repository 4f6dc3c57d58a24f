"""Whom the load is from: users by a power law and anonymous visitors, drawn with a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_assets.events.purchases import purchased_items
from recsys_assets.settings import Settings
from recsys_assets.settings.days import midnight
from recsys_assets.storage import Store

_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Request:
    """One request for `k` items at `timestamp`, epoch seconds; `user_id` is empty if anonymous."""

    user_id: str
    device: str
    timestamp: int
    k: int


@dataclass(frozen=True)
class Population:
    """The visitors of a shop.

    Attributes:
        users: known user ids.
        moment: first second of the day of the requests, epoch seconds; they spread over that day.
        exponent: s of Zipf's law: the user of rank r comes with a weight of r^-s. Who has which
            rank is drawn as well.
        anonymous: share of requests without a user.
        devices: drawn evenly.
        k: items asked for.
        every: seconds that times are rounded down to.
    """

    users: Sequence[str]
    moment: int
    exponent: float = 1.0
    anonymous: float = 0.1
    devices: Sequence[str] = ("mobile", "desktop", "")
    k: int = 10
    every: int = 1

    def draw(self, count: int, seed: int) -> list[Request]:
        """`count` requests, the same for the same seed.

        Raises:
            ValueError: there are no users, though not all requests are anonymous.
        """
        if not self.users and self.anonymous < 1:
            raise ValueError("no users to draw from: give some, or set anonymous to 1")
        ranked = np.random.default_rng(0).permutation(np.array([*self.users], dtype=object))
        rng = np.random.default_rng(seed)
        known = rng.random(count) >= self.anonymous
        drawn = np.full(count, "", dtype=object)
        drawn[known] = ranked[_zipf(rng, len(ranked), self.exponent, int(known.sum()))]
        devices = rng.choice(np.array([*self.devices], dtype=object), count)
        seconds = rng.integers(0, _DAY_SECONDS, count) // self.every * self.every
        return [
            Request(user, device, self.moment + int(second), self.k)
            for user, device, second in zip(drawn, devices, seconds, strict=True)
        ]


def population_of(settings: Settings, exponent: float = 1.0, k: int = 10) -> Population:
    """The visitors of the settings' shop: who bought something, on the day that counts as today."""
    history = purchased_items(Store(settings.storage_url), settings.history_through.isoformat())
    moment = int(midnight(settings.today).timestamp())
    return Population(list(history), moment, exponent, k=k)


def _zipf(rng: np.random.Generator, size: int, exponent: float, count: int) -> np.ndarray:
    """`count` ranks below `size`, rank r with a weight of (r + 1)^-exponent; int64 [count]."""
    if size == 0:
        return np.empty(0, dtype=np.int64)
    weights = np.arange(1, size + 1, dtype=np.float64) ** -exponent
    return rng.choice(size, size=count, p=weights / weights.sum())
