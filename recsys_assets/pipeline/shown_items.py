"""Items shown a short while ago, which a shop may not want to show again at once.

One Bloom filter per user and period. A period is as long as items stay away at least; the filter
of the current period and that of the one before are asked, so that an item comes back after
between one and two times the hours set, and the store forgets the filters by itself. Each of the
two leaves out a further share of unseen items by mistake, `error_rate` at most. Runs in both
environments.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import redis

from recsys_assets.pipeline import bloom
from recsys_assets.pipeline.seen_settings import FilterSettings

if TYPE_CHECKING:
    from recsys_assets.pipeline.request_log import Answer

# A period's impressions are far fewer than a year's purchases.
SHOWN_FILTERS = FilterSettings(min_capacity=200)
FILTERS_OF_A_USER = 2  # of this period and of the one before
_SECONDS_OF_AN_HOUR = 3600


class ShownItems:
    """Remembers items shown.

    Args:
        client: for writing after answers; reading is that of `SeenItems`.
        hours: an item stays away for at least so long; 1 or more.
        settings: of the filters.
        clock: gives epoch seconds.
    """

    def __init__(
        self,
        client: redis.Redis,
        hours: int,
        settings: FilterSettings = SHOWN_FILTERS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if hours < 1:
            raise ValueError(f"hours={hours!r} cannot be used: give a whole number of at least 1")
        self._client = client
        self._period = hours * _SECONDS_OF_AN_HOUR
        self._settings = settings
        self._clock = clock

    def add(self, answers: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Remembers the items of answers, in one round trip for up to 200 users.

        Args:
            answers: users, each with the items shown; a user may come several times. Anonymous
                users and empty answers are passed over.

        Raises:
            redis.RedisError: the store cannot be written.
        """
        shown: dict[str, dict[str, None]] = {}
        for user, items in answers:
            if user and len(items):
                shown.setdefault(user, {}).update(dict.fromkeys(items))
        if not shown:
            return
        period = self._current()
        filters = ((_key(user, period), list(items)) for user, items in shown.items())
        # Asked until the end of the next period, and never longer.
        bloom.add(self._client, filters, self._settings, 2 * self._period)

    def remember_answers(self, item_ids: Sequence[str]) -> Callable[[Sequence["Answer"]], None]:
        """Makes a function that adds what answers have shown, for whoever logs them.

        Args:
            item_ids: the catalogue, in the order of the answers' rows.
        """

        def remember(answers: Sequence["Answer"]) -> None:
            self.add(
                (json.loads(answer.context)["user_id"], [item_ids[row] for row in rows.tolist()])
                for answer, rows in ((answer, answer.rows[answer.shown]) for answer in answers)
            )

        return remember

    def keys(self, user_id: str) -> list[str]:
        """The filters that hold what must not be shown to the user now."""
        period = self._current()
        return [_key(user_id, period), _key(user_id, period - 1)]

    def _current(self) -> int:
        return int(self._clock() // self._period)


def _key(user_id: str, period: int) -> str:
    return f"shown:{{{user_id}}}:{period}"
