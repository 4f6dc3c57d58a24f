"""Bloom filters of the online store: many asked in one round trip, many filled in a few.

redis-py packs a command argument by argument, which for 300 candidates takes longer than the
store's answer. Here every item is kept as its bulk string of the protocol (RESP,
https://valkey.io/topics/protocol/), so that a question is one join of bytes. Only commands and
options that RedisBloom and valkey-bloom share are used. Runs in both environments.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import redis

from recsys_assets.pipeline.seen_settings import FilterSettings
from recsys_assets.storage.resp import Packed, bulk, exchange

_FILTERS_PER_ROUND_TRIP = 200
# Larger catalogues encode the other items when they are first asked for.
_ENCODED_AHEAD = 1_000_000
# In one step, so that nobody else makes the filter, or makes it last, in between. GT leaves alone
# what ends later or never.
_INSERT_FOR_NOW = """
local exists = redis.call('EXISTS', KEYS[1])
redis.call('BF.INSERT', KEYS[1], unpack(ARGV, 2))
if exists == 1 then
  return redis.call('EXPIRE', KEYS[1], ARGV[1], 'GT')
end
return redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


class EncodedItems:
    """The items of a catalogue as bulk strings.

    Each takes about 56 bytes: 5 MB for 92 thousand items, and for 10 million 128 MB at first,
    560 MB once every one of them has been a candidate.

    Args:
        item_ids: the catalogue, in the order of its rows; it is kept, not copied.
        ahead: so many are encoded at once.
    """

    def __init__(self, item_ids: Sequence[str], ahead: int = _ENCODED_AHEAD) -> None:
        self._item_ids = item_ids
        self._bulk = np.full(len(item_ids), None, dtype=object)
        self._encode(range(min(ahead, len(item_ids))))

    def join(self, rows: np.ndarray) -> bytes:
        """The arguments of a command: items of the rows, int64 [m], each 0 or more."""
        try:
            return b"".join(self._bulk[rows].tolist())
        except TypeError:  # one of them is asked for the first time
            self._encode(rows.tolist())
            return b"".join(self._bulk[rows].tolist())

    def _encode(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._bulk[row] = bulk(self._item_ids[row].encode())


def question(key: str, count: int, items: bytes) -> bytes:
    """A packed `BF.MEXISTS`: which of `count` items, given as bulk strings, the filter holds."""
    return b"*%d\r\n$10\r\nBF.MEXISTS\r\n%s%s" % (count + 2, bulk(key.encode()), items)


def ask(client: redis.Redis, questions: Iterable[Packed], count: int) -> list[np.ndarray]:
    """The answers, in one round trip.

    Args:
        client: its timeouts bound the call; it is not tried again.
        questions: packed commands, the same number in each element.
        count: how many commands there are in all.

    Returns:
        `count` bool arrays, one value an item of the question; False where there is no filter.

    Raises:
        redis.RedisError: the store cannot be asked.
    """
    replies = exchange(client, questions, count)
    return [np.frombuffer(bytes(reply), dtype=bool) for reply in replies]


def add(
    client: redis.Redis,
    filters: Iterable[tuple[str, Sequence[str]]],
    settings: FilterSettings,
    expire_seconds: int | None,
) -> None:
    """Adds items to filters; one that does not exist is made with room for twice as many.

    Args:
        client: for writing.
        filters: keys, each with distinct items, at least one.
        settings: of the filters that are made here; existing ones keep theirs.
        expire_seconds: lifetime of each of these filters from now on; None for ever.

    Raises:
        redis.RedisError: the store cannot be written; doing it all again does no harm.
    """

    def queue(pipeline: "redis.client.Pipeline", key: str, items: Sequence[str]) -> None:
        insert(pipeline, key, items, settings, expire_seconds)

    _for_each(client, filters, queue)


def add_for_now(
    client: redis.Redis,
    filters: Iterable[tuple[str, Sequence[str]]],
    settings: FilterSettings,
    expire_seconds: int,
) -> None:
    """As `add`, but that an existing filter with a longer lifetime, or without an end, keeps it."""

    def queue(pipeline: "redis.client.Pipeline", key: str, items: Sequence[str]) -> None:
        options = _insertion(items, settings)
        pipeline.execute_command("EVAL", _INSERT_FOR_NOW, 1, key, expire_seconds, *options)

    _for_each(client, filters, queue)


def insert(
    pipeline: "redis.client.Pipeline",
    key: str,
    items: Sequence[str],
    settings: FilterSettings,
    expire_seconds: int | None,
) -> None:
    """Queues the addition of distinct items, at least one, to one filter; see `add`."""
    pipeline.execute_command("BF.INSERT", key, *_insertion(items, settings))
    if expire_seconds is None:
        pipeline.persist(key)
    else:
        pipeline.expire(key, expire_seconds)


def _for_each(
    client: redis.Redis,
    filters: Iterable[tuple[str, Sequence[str]]],
    queue: Callable[["redis.client.Pipeline", str, Sequence[str]], None],
) -> None:
    """Has commands queued for each filter, and sends them in few round trips."""
    pipeline = client.pipeline(transaction=False)
    for count, (key, items) in enumerate(filters, start=1):
        queue(pipeline, key, items)
        if count % _FILTERS_PER_ROUND_TRIP == 0:
            pipeline.execute()
    pipeline.execute()


def _insertion(items: Sequence[str], settings: FilterSettings) -> tuple[str | float, ...]:
    """Arguments of `BF.INSERT` after the key."""
    sizes = ("CAPACITY", settings.capacity(len(items)), "ERROR", settings.error_rate)
    return (*sizes, "EXPANSION", settings.growth, "ITEMS", *items)
