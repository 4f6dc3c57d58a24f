"""Reads users' features straight from Feast's rows in Redis or Valkey.

Served models run where Feast cannot be imported, and its SDK takes milliseconds a row. The
layout is Feast's documented one (docs/specs/online_store_format.md, Redis; serialization
version 3): one hash per entity, keyed by the serialized entity key and the project, whose fields
are murmur3_32 of `view:feature` and whose values are `ValueProto` messages. All views of an
entity share its hash, so one HGETALL is one user. Equality with `get_online_features` is proved
by test. For both environments: standard library, numpy and redis only.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.storage.resp import Packed, bulk, exchange

if TYPE_CHECKING:
    import redis

PROJECT = "recsys"
USER_ATTRIBUTES = "user_attributes"
_STRING_TYPE = 2  # feast.types.ValueType.STRING
_NULL_FIELD = 19  # feast.types.Value.null_val
_MASK = 0xFFFFFFFF

Value = str | int | float | bool | None


class OnlineUserFeatures:
    """Features of users, any number of them in one round trip.

    Args:
        client: Connection to the online store; its timeouts bound a read.
        columns: Names to read. Those declared in `USER_FEATURES` belong to its view, all others
            are attributes.
        project: Feast project.
    """

    def __init__(
        self, client: "redis.Redis", columns: Iterable[str], project: str = PROJECT
    ) -> None:
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
    return struct.pack("<I", murmur3_32(f"{view}:{feature}".encode()))


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


def murmur3_32(data: bytes, seed: int = 0) -> int:
    """MurmurHash3, x86, 32 bits (Appleby, public domain), which Feast names fields by."""
    digest = seed
    whole = len(data) - len(data) % 4
    for (block,) in struct.iter_unpack("<I", data[:whole]):
        digest ^= _scramble(block)
        digest = ((digest << 13 | digest >> 19) * 5 + 0xE6546B64) & _MASK
    digest ^= _scramble(int.from_bytes(data[whole:], "little"))
    digest ^= len(data)
    digest = (digest ^ digest >> 16) * 0x85EBCA6B & _MASK
    digest = (digest ^ digest >> 13) * 0xC2B2AE35 & _MASK
    return digest ^ digest >> 16


def _scramble(block: int) -> int:
    block = block * 0xCC9E2D51 & _MASK
    block = (block << 15 | block >> 17) & _MASK
    return block * 0x1B873593 & _MASK


def _varint(message: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[position]
        number |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return number, position
        shift += 7
