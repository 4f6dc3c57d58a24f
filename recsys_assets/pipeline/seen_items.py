"""Items that a user has bought, as one Bloom filter per user in the online store.

A Bloom filter (B. Bloom, 1970, doi:10.1145/362686.362692) never forgets a bought item; it
mistakes an unseen one for bought with probability `FilterSettings.error_rate`, so that by default
about 1 of 100 candidates is left out for no reason. Where a shop wishes so, items shown a short
while ago are left out in the same round trip (`shown_items.py`). Runs in both environments.

Purchases are added as they happen, known to the very next answer. The day's own run adds them again
from its partition: the items are there, and a filter that was made here is no longer one of an id
that may be invented.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import redis

from recsys_assets.pipeline import bloom
from recsys_assets.pipeline.seen_settings import DEFAULT_FILTERS, FilterSettings
from recsys_assets.pipeline.shown_items import FILTERS_OF_A_USER, ShownItems
from recsys_assets.storage.resp import Packed

_USERS_PER_ROUND_TRIP = 200
_PREFIX = "seen:"
# No item is called so: whichever of them a filter claims to hold is a mistake.
_NEVER_BOUGHT = [f"\0{number}" for number in range(100)]


@dataclass(frozen=True)
class FilterInfo:
    """State of a sample of filters: sums over `users`, except where said otherwise.

    Attributes:
        users: filters looked at.
        items: that they hold.
        capacity: items that they take before they grow again.
        bytes: of memory.
        most_parts: sub-filters of the one that has grown most often.
        false_positive_rate: measured, with items that do not exist; NaN without filters.
    """

    users: int
    items: int
    capacity: int
    bytes: int
    most_parts: int
    false_positive_rate: float

    def summary(self) -> str:
        """One line for people."""
        if not self.users:
            return "no filters of seen items"
        return (
            f"{self.users} filters of seen items looked at: {self.items / self.capacity:.0%} full, "
            f"{self.bytes / self.users:,.0f} bytes each, up to {self.most_parts} parts, "
            f"{self.false_positive_rate:.2%} mistaken"
        )


class SeenItems:
    """Reads and writes the filters.

    Args:
        client: its timeouts bound a read.
        item_ids: the catalogue, for `seen_rows`, in the order of its rows.
        settings: of filters that are made here; existing ones keep theirs until `replace_all`.
        shown: if given, items that it remembers count as seen, too.
    """

    def __init__(
        self,
        client: redis.Redis,
        item_ids: Sequence[str] = (),
        settings: FilterSettings = DEFAULT_FILTERS,
        shown: ShownItems | None = None,
    ) -> None:
        self._client = client
        self._items = bloom.EncodedItems(item_ids)
        self.settings = settings
        self._shown = shown

    def seen_rows(self, user_ids: Sequence[str], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each user, which of the given rows of the catalogue are (almost surely) seen.

        One round trip. A user without a filter, or the empty user, has seen nothing.

        Args:
            user_ids: n users.
            rows: n times int64 [m_i], each number a row of `item_ids`.

        Returns:
            n bool arrays, the i-th of shape [m_i].

        Raises:
            redis.RedisError: the store cannot be asked. The next call tries again; a lost
                connection needs no other care.
        """
        found = [np.zeros(len(of_user), dtype=bool) for of_user in rows]
        asked = [i for i, user in enumerate(user_ids) if user and len(rows[i])]
        if not asked:
            return found
        filters = 1 if self._shown is None else 1 + FILTERS_OF_A_USER
        questions = (self._questions(user_ids[i], rows[i]) for i in asked)
        replies = bloom.ask(self._client, questions, len(asked) * filters)
        for number, reply in enumerate(replies):
            found[asked[number // filters]] |= reply
        return found

    def replace_all(self, history: Mapping[str, Sequence[str]]) -> None:
        """Makes the filters hold exactly this history: user to distinct items.

        Each user's filter is built beside the old one and renamed over it, so that a request
        finds one or the other, and filters of users that are not in `history` are removed.
        Purchases after the end of `history` are forgotten until their day, or they, are added.
        """
        settings, keep = self.settings, self.settings.expire_seconds
        pipeline = self._client.pipeline(transaction=False)
        for count, (user, items) in enumerate(history.items(), start=1):
            key, building = _key(user), f"{_key(user)}:building"
            pipeline.delete(building)
            bloom.insert(pipeline, building, items, settings, keep)
            # A cluster's pipeline has no method of that name, although both lie in one slot.
            pipeline.execute_command("RENAME", building, key)
            if count % _USERS_PER_ROUND_TRIP == 0:
                pipeline.execute()
        pipeline.execute()
        self._remove_except({_key(user).encode() for user in history})

    def add(self, bought: Mapping[str, Sequence[str]]) -> None:
        """Adds distinct items to the users' filters; a user without one gets it.

        A filter that outgrows its capacity is extended by the store, at the same error rate.
        Adding the same again changes nothing, but a filter lives on from its last addition.
        """
        filters = ((_key(user), items) for user, items in bought.items())
        bloom.add(self._client, filters, self.settings, self.settings.expire_seconds)

    def add_unconfirmed(self, bought: Mapping[str, Sequence[str]]) -> None:
        """Adds distinct items that history does not know of yet.

        A user's filter that is made by it lasts for `unconfirmed_days`, until `add` or
        `replace_all` is given a purchase of theirs; what they had lasts no shorter than before.
        """
        filters = ((_key(user), items) for user, items in bought.items())
        bloom.add_for_now(self._client, filters, self.settings, self.settings.unconfirmed_seconds)

    def info(self, users: int = 200) -> FilterInfo:
        """How the filters of some users are, in three or four round trips."""
        keys = list(islice(self._keys(), users))
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("BF.INFO", key)
        rows = [dict(zip(reply[::2], reply[1::2], strict=True)) for reply in pipeline.execute()]
        for key in keys:
            pipeline.execute_command("BF.MEXISTS", key, *_NEVER_BOUGHT)
        mistakes = [float(np.mean(reply)) for reply in pipeline.execute()]
        return FilterInfo(
            users=len(keys),
            items=sum(row[b"Number of items inserted"] for row in rows),
            capacity=sum(row[b"Capacity"] for row in rows),
            bytes=sum(row[b"Size"] for row in rows),
            most_parts=max((row[b"Number of filters"] for row in rows), default=0),
            false_positive_rate=float(np.mean(mistakes)) if mistakes else float("nan"),
        )

    def _questions(self, user_id: str, rows: np.ndarray) -> Packed:
        """Packed commands, one a filter that can hold items the user has seen."""
        items = self._items.join(rows)
        keys = [_key(user_id), *(self._shown.keys(user_id) if self._shown else ())]
        commands = b"".join(bloom.question(key, len(rows), items) for key in keys)
        return Packed(keys[0].encode(), commands)

    def _remove_except(self, kept: set[bytes]) -> None:
        stale = [key for key in self._keys() if key not in kept]
        if stale:
            self._client.delete(*stale)

    def _keys(self) -> Iterator[bytes]:
        return self._client.scan_iter(match=f"{_PREFIX}*", count=1000)


def _key(user_id: str) -> str:
    """The braces keep a user's filter and its successor in one slot of a cluster."""
    return f"{_PREFIX}{{{user_id}}}"


def record_events(
    client: redis.Redis,
    events: Iterable[tuple[str, str]],
    settings: FilterSettings = DEFAULT_FILTERS,
) -> int:
    """Adds purchases to the users' filters, in one round trip for up to 200 users.

    Args:
        client: for writing.
        events: (user id, item id); those without a user are passed over. At-least-once delivery
            is fine: the same event again changes nothing.
        settings: of the filters of users who had none.

    Returns:
        How many different purchases were recorded.

    Raises:
        redis.RedisError: the store cannot be written; record the same events again.
    """
    bought: dict[str, dict[str, None]] = {}
    for user, item in events:
        if user:
            bought.setdefault(user, {})[item] = None
    filters = SeenItems(client, settings=settings)
    filters.add_unconfirmed({user: list(items) for user, items in bought.items()})
    return sum(map(len, bought.values()))
