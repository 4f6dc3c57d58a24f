"""Rows that Feast keeps in the online store, where it is to write them again.

Feast writes a row only if its `event_timestamp` is later than that of the row that is there. So
a newer value is never replaced by an older one, and neither is a wrong one by what was put right
of the same moment. Whoever sends a moment again makes Feast forget first when the rows since then
were from: their values stay and are served until the right ones replace them.

The layout is Feast's, as `reader.py` describes it: beside its features, the hash of an entity has
a field `_ts:<view>` for each view.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import redis

from recsys_assets.features.reader import PROJECT, field_name, key_prefix

_AT_ONCE = 1_000


def forget_times(client: redis.Redis, key: str, view: str, since: datetime | None) -> list[bytes]:
    """Makes Feast forget when rows of a view were from, where that is `since` or later.

    Looks at every entity of the store, a thousand in a round trip.

    Args:
        client: of the online store.
        key: join key of the view's entity.
        view: its name.
        since: with a time zone; None for every entity, also one whose row has no time.

    Returns:
        The entities' keys in the store.
    """
    forgotten: list[bytes] = []
    for keys in _some(_entities(client, key)):
        times = _times(client, keys, view)
        late = [
            one
            for one, time in zip(keys, times, strict=True)
            if since is None or (time is not None and time >= since)
        ]
        with client.pipeline(transaction=False) as pipe:
            for one in late:
                pipe.hdel(one, _time_field(view))
            pipe.execute()
        forgotten += late
    return forgotten


def without_time(client: redis.Redis, keys: Sequence[bytes], view: str) -> list[bytes]:
    """Those of the entities of whose view no row has been written since it was forgotten."""
    return [
        one
        for some in _some(keys)
        for one, time in zip(some, _times(client, some, view), strict=True)
        if time is None
    ]


def drop_rows(
    client: redis.Redis, keys: Sequence[bytes], view: str, features: Sequence[str]
) -> None:
    """Removes the features of a view of some entities: nothing is known of them any more."""
    fields = [field_name(view, feature) for feature in features]
    for some in _some(keys):
        with client.pipeline(transaction=False) as pipe:
            for one in some:
                pipe.hdel(one, *fields)
            pipe.execute()


def _some(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    """As many keys as one round trip takes at a time."""
    rest = iter(keys)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def _entities(client: redis.Redis, key: str) -> Iterator[bytes]:
    pattern = key_prefix(key) + b"*" + PROJECT.encode()
    return client.scan_iter(match=pattern, count=_AT_ONCE)


def _times(client: redis.Redis, keys: Sequence[bytes], view: str) -> list[datetime | None]:
    with client.pipeline(transaction=False) as pipe:
        for one in keys:
            pipe.hget(one, _time_field(view))
        return [_moment(message) if message else None for message in pipe.execute()]


def _time_field(view: str) -> str:
    return f"_ts:{view}"


def _moment(message: bytes) -> datetime:
    from google.protobuf.timestamp_pb2 import Timestamp

    return Timestamp.FromString(message).ToDatetime(UTC)
