"""What a shop decides about filters of seen items. Runs in both environments."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

MIN_CAPACITY = 1000
_SECONDS_OF_A_DAY = 86_400


class WhenDown(StrEnum):
    """What happens to a user whose filter cannot be asked.

    `show` answers all the same, marked degraded: a bought item may come again. `refuse` answers
    with an error, for shops where that must not happen. Anonymous users have bought nothing, so
    they are answered either way.
    """

    SHOW = "show"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Unchecked:
    """Requests whose filters could not be asked: bool [n] each, and never both of one request."""

    degraded: np.ndarray
    refused: np.ndarray


def without_filters(user_ids: Sequence[str], when_down: WhenDown) -> Unchecked:
    """What becomes of n requests while the store of the filters is down.

    Args:
        user_ids: n users; the empty one is anonymous.
        when_down: the shop's choice.
    """
    known = np.array([user != "" for user in user_ids], dtype=bool)
    refused = known & (when_down is WhenDown.REFUSE)
    return Unchecked(degraded=known & ~refused, refused=refused)


@dataclass(frozen=True)
class FilterSettings:
    """Size, error and lifetime of each user's filter.

    Attributes:
        error_rate: share of unseen items mistaken for seen, at most; it holds through growth,
            because the store makes each further part stricter than the one before.
        min_capacity: items that the smallest filter takes before it grows.
        growth: a filter that is full gets a further part, this many times as large as the last.
            Each part costs time in every request, so 2 or more keeps them few.
        expire_days: a filter to which nothing was added for so long is forgotten, so that users
            who are gone free their memory; None keeps it for ever.
        unconfirmed_days: the same of a filter made for a purchase that only the storefront has
            told of, until that is in history: the user may be invented. More than the days that
            an event may be late and its day's run may take.
    """

    error_rate: float = 0.01
    min_capacity: int = MIN_CAPACITY
    growth: int = 2
    expire_days: int | None = None
    unconfirmed_days: int = 7

    def __post_init__(self) -> None:
        if not 0 < self.error_rate < 1:
            raise _invalid("error_rate", self.error_rate, "a share between 0 and 1, such as 0.01")
        for name in ("min_capacity", "growth", "unconfirmed_days"):
            if getattr(self, name) < 1:
                raise _invalid(name, getattr(self, name), "a whole number of at least 1")
        if self.expire_days is not None and self.expire_days < 1:
            raise _invalid("expire_days", self.expire_days, "at least 1, or None for never")

    def capacity(self, items: int) -> int:
        """Room of a new filter: as many purchases again, and never less than the smallest."""
        return max(self.min_capacity, 2 * items)

    @property
    def expire_seconds(self) -> int | None:
        """Lifetime of a filter since the last addition."""
        return None if self.expire_days is None else self.expire_days * _SECONDS_OF_A_DAY

    @property
    def unconfirmed_seconds(self) -> int:
        """The same while history does not know of any purchase."""
        return (
            min(self.unconfirmed_days, self.expire_days or self.unconfirmed_days)
            * _SECONDS_OF_A_DAY
        )


DEFAULT_FILTERS = FilterSettings()


def _invalid(field: str, value: object, remedy: str) -> ValueError:
    return ValueError(f"FilterSettings.{field}={value!r} cannot be used: give {remedy}")
