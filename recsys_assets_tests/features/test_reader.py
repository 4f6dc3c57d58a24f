"""Feast's layout in Redis, against Feast's own code where that can be imported."""

import numpy as np
import pytest

from recsys_assets.features.reader import (
    OnlineUserFeatures,
    entity_key,
    field_name,
    parse_value,
)


class Rows:
    """A client with one connection to hashes in memory; counts round trips."""

    def __init__(self, hashes):
        self.hashes, self.trips, self._asked = hashes, 0, []
        self.connection_pool = self

    def get_connection(self):
        return self

    def release(self, connection):
        assert not self._asked, "a reply was left unread"

    def send_packed_command(self, commands):
        self.trips += 1
        for command in commands:
            _, _, rest = command.partition(b"HGETALL\r\n$")
            length, _, key = rest.partition(b"\r\n")
            self._asked.append(key[: int(length)])

    def read_response(self):
        row = self.hashes.get(self._asked.pop(0), {})
        return [part for pair in row.items() for part in pair]


@pytest.mark.parametrize(
    ("message", "value"),
    [
        (b"", None),
        (b"\x98\x01\x00", None),
        (b" \x00", 0),
        (b" \xac\x02", 300),
        (b" \xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01", -5),
        (b"\x12\x00", ""),
        (b"\x12\x03\xc3\xbcx", "üx"),
        (b")\x00\x00\x00\x00\x00\x00\xf8?", 1.5),
        (b"8\x01", True),
    ],
)
def test_values_on_the_wire(message, value):
    assert parse_value(message) == value


def test_a_list_is_refused():
    with pytest.raises(ValueError, match="field 12 is not a scalar"):
        parse_value(b"b\x02\n\x00")


def test_a_batch_is_one_round_trip_and_strangers_are_missing():
    known = entity_key("user_id", "ann") + b"recsys"
    row = {
        field_name("user_features", "events_1d"): b" \x03",
        field_name("user_features", "top_store_28d"): b"\x12\x01s",
        field_name("user_attributes", "age"): b"\x12\x0218",
    }
    client = Rows({known: row})

    found = OnlineUserFeatures(client, ["age", "events_1d", "top_store_28d", "spend_1d"]).read(
        ["ann", "stranger"]
    )

    assert client.trips == 1
    assert found["age"].tolist() == ["18", ""]
    assert found["top_store_28d"].tolist() == ["s", ""]
    assert found["events_1d"][0] == 3
    assert np.isnan(found["events_1d"][1])
    assert np.isnan(found["spend_1d"]).all()


def test_missing_has_the_types_of_a_read():
    features = OnlineUserFeatures(Rows({}), ["age", "events_1d"])

    read, missing = features.read(["a", "b"]), features.missing(2)

    assert {n: v.dtype for n, v in read.items()} == {n: v.dtype for n, v in missing.items()}


@pytest.mark.integration
def test_keys_and_fields_are_those_of_feast():
    from feast.infra.online_stores.helpers import _mmh3, _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    for user in ("900", "", "用户 ü", "x" * 4_096):
        proto = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user)])
        assert entity_key("user_id", user) + b"recsys" == _redis_key("recsys", proto)
    for feature in ("age", "spend_28d", "ü"):
        assert field_name("user_features", feature) == _mmh3(f"user_features:{feature}")
