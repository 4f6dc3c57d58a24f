"""Items that a user has bought, as one Bloom filter per user in the online store.

A Bloom filter (B. Bloom, 1970, doi:10.1145/362686.362692) never forgets a bought item; it
mistakes an unseen one for bought with probability `ERROR_RATE`, so about 1 of 100 candidates is
left out for no reason. Only commands that RedisBloom and valkey-bloom share are used.
Runs in both environments.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import redis

ERROR_RATE = 0.01
# Room for as many purchases again as history holds, and never less than this.
MIN_CAPACITY = 1000
_USERS_PER_ROUND_TRIP = 200
_PREFIX = "seen:"


class SeenItems:
    """Reads and writes the filters through a client of redis-py."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def seen(self, user_ids: Sequence[str], item_ids: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """For each user, which of the given items the user has (almost surely) bought.

        One round trip. A user without a filter, or the empty user, has seen nothing.

        Args:
            user_ids: n users.
            item_ids: n lists of items; the i-th has m_i.

        Returns:
            n bool arrays, the i-th of shape [m_i].

        Raises:
            redis.RedisError: the store cannot be asked.
        """
        asked = [i for i, user in enumerate(user_ids) if user and len(item_ids[i])]
        found = [np.zeros(len(items), dtype=bool) for items in item_ids]
        if not asked:
            return found
        if len(asked) == 1:
            i = asked[0]
            replies = [self._client.execute_command("BF.MEXISTS", _key(user_ids[i]), *item_ids[i])]
        else:
            pipeline = self._client.pipeline(transaction=False)
            for i in asked:
                pipeline.execute_command("BF.MEXISTS", _key(user_ids[i]), *item_ids[i])
            replies = pipeline.execute()
        for i, reply in zip(asked, replies, strict=True):
            found[i] = np.array(reply, dtype=bool)
        return found

    def replace_all(self, history: Mapping[str, Sequence[str]]) -> None:
        """Makes the filters hold exactly this history: user to distinct items.

        Each user's filter is built beside the old one and renamed over it, so that a request
        finds one or the other, and filters of users that are not in `history` are removed.
        """
        pipeline = self._client.pipeline(transaction=False)
        for count, (user, items) in enumerate(history.items(), start=1):
            key, building = _key(user), f"{_key(user)}:building"
            capacity = max(MIN_CAPACITY, 2 * len(items))
            pipeline.delete(building)
            pipeline.execute_command("BF.RESERVE", building, ERROR_RATE, capacity)
            pipeline.execute_command("BF.INSERT", building, "ITEMS", *items)
            pipeline.rename(building, key)
            if count % _USERS_PER_ROUND_TRIP == 0:
                pipeline.execute()
        pipeline.execute()
        self._remove_except({_key(user).encode() for user in history})

    def add(self, bought: Mapping[str, Sequence[str]]) -> None:
        """Adds distinct items to the users' filters; a user without one gets it.

        A filter that outgrows its capacity is extended by the store, at the same error rate.
        Adding the same again changes nothing.
        """
        pipeline = self._client.pipeline(transaction=False)
        for count, (user, items) in enumerate(bought.items(), start=1):
            capacity = max(MIN_CAPACITY, 2 * len(items))
            options = ("CAPACITY", capacity, "ERROR", ERROR_RATE, "ITEMS", *items)
            pipeline.execute_command("BF.INSERT", _key(user), *options)
            if count % _USERS_PER_ROUND_TRIP == 0:
                pipeline.execute()
        pipeline.execute()

    def _remove_except(self, kept: set[bytes]) -> None:
        stale = [key for key in self._keys() if key not in kept]
        if stale:
            self._client.delete(*stale)

    def _keys(self) -> Iterable[bytes]:
        return self._client.scan_iter(match=f"{_PREFIX}*", count=1000)


def _key(user_id: str) -> str:
    """The braces keep a user's filter and its successor in one slot of a cluster."""
    return f"{_PREFIX}{{{user_id}}}"
