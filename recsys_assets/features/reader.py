"""Reads users' features straight from Feast's rows in Redis or Valkey, and knows when one is old.

Served models run where Feast cannot be imported, and its SDK takes milliseconds a row. The
layout is Feast's documented one (docs/specs/online_store_format.md, Redis; serialization
version 3): one hash per entity, keyed by the serialized entity key and the project, whose fields
are murmur3_32 of `view:feature` and whose values are `ValueProto` messages. All views of an
entity share its hash, so one HGETALL is one user. Equality with `get_online_features` is proved
by test. For both environments: standard library, numpy, mmh3 and redis only.

Feast writes a row only if its `event_timestamp` is later than that of the row that is there. So
a newer value is never replaced by an older one, and neither is a wrong one by what was put right
of the same moment. Whoever sends a moment again makes Feast forget first when the rows since then
were from: their values stay and are served until the right ones replace them.

Beside its features, the hash of an entity has a field `_ts:<view>` for each view.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import mmh3
import numpy as np
import redis

from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.storage.resp import Packed, bulk, exchange

PROJECT = "recsys"
USER_ATTRIBUTES = "user_attributes"
_STRING_TYPE = 2  # feast.types.ValueType.STRING
_NULL_FIELD = 19  # feast.types.Value.null_val
Value = str | int | float | bool | None
_AT_ONCE = 1_000


class OnlineUserFeatures:
    """Features of users, any number of them in one round trip.

    Args:
        client: Connection to the online store; its timeouts bound a read.
        columns: Names to read. Those declared in `USER_FEATURES` belong to its view, all others
            are attributes.
        project: Feast project.
    """

    def __init__(self, client: redis.Redis, columns: Iterable[str], project: str = PROJECT) -> None:
        self._client = client
        self._project = project.encode()
        self._fields: dict[str, bytes] = {}
        self._is_text: dict[str, bool] = {}
        declared = USER_FEATURES.columns
        for column in columns:
            view = USER_FEATURES.name if column in declared else USER_ATTRIBUTES
            self._fields[column] = field_name(view, column)
            self._is_text[column] = declared.get(column, "string") == "string"

    def read(self, user_ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns of n users; a user that the store does not know has missing values.

        Returns:
            Texts as object arrays [n], "" where missing; numbers as float64 [n], NaN where
            missing.

        Raises:
            redis.exceptions.RedisError: the store does not answer. The next call tries again; a
                lost connection needs no other care.
        """
        keys = (entity_key(USER_FEATURES.key, user_id) + self._project for user_id in user_ids)
        questions = (Packed(key, b"*2\r\n$7\r\nHGETALL\r\n" + bulk(key)) for key in keys)
        replies = exchange(self._client, questions, len(user_ids))
        columns = self.missing(len(user_ids))
        places = [(field, columns[column]) for column, field in self._fields.items()]
        for number, reply in enumerate(replies):
            row = dict(zip(reply[::2], reply[1::2], strict=True))
            for field, values in places if row else ():
                value = parse_value(row.get(field, b""))
                if value is not None:
                    values[number] = value
        return columns

    def missing(self, count: int) -> dict[str, np.ndarray]:
        """The same columns of `count` users of whom nothing is known."""
        texts = np.full((len(self._is_text), count), "", dtype=object)
        numbers = np.full((len(self._is_text), count), np.nan)
        return {
            column: texts[place] if is_text else numbers[place]
            for place, (column, is_text) in enumerate(self._is_text.items())
        }


def entity_key(name: str, value: str) -> bytes:
    """Feast's serialized key (version 3) of an entity with one string join key."""
    encoded = value.encode()
    return key_prefix(name) + struct.pack("<II", _STRING_TYPE, len(encoded)) + encoded


def key_prefix(name: str) -> bytes:
    """What the keys of all entities with that join key begin with."""
    encoded = name.encode()
    return struct.pack("<III", 1, _STRING_TYPE, len(encoded)) + encoded


def field_name(view: str, feature: str) -> bytes:
    """Name of a feature's field within its entity's hash: murmur3_32, little-endian."""
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def parse_value(message: bytes) -> Value:
    """The scalar in a serialized `feast.types.Value`; None for a null.

    Raises:
        ValueError: the message holds a list or another type that no feature here has.
    """
    if not message:
        return None
    tag, position = _varint(message, 0)
    field = tag >> 3
    if field == 2:
        length, position = _varint(message, position)
        return message[position : position + length].decode()
    if field in (3, 4, 8):  # int32, int64, unix_timestamp: two's complement in 64 bits
        number, _ = _varint(message, position)
        return number - (1 << 64) if number >> 63 else number
    if field == 5:
        return float(struct.unpack_from("<d", message, position)[0])
    if field == 6:
        return float(struct.unpack_from("<f", message, position)[0])
    if field == 7:
        return bool(_varint(message, position)[0])
    if field == _NULL_FIELD:
        return None
    raise ValueError(f"feast.types.Value: field {field} is not a scalar type that features have")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[position]
        number |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return number, position
        shift += 7


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
