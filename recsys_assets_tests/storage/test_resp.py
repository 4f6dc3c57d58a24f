"""Packed commands against a real store."""

import pytest
import redis

from recsys_assets.storage.resp import Packed, bulk, exchange
from recsys_assets_tests.waiting import standing_still

pytestmark = pytest.mark.integration

GET = b"*2\r\n$3\r\nGET\r\n"


@pytest.fixture
def store(valkey_url):
    with redis.Redis.from_url(valkey_url, max_connections=1, socket_timeout=5.0) as client:
        client.mset({"a": "1", "☃": "2"})
        yield client


def get(*keys):
    return [Packed(key.encode(), GET + bulk(key.encode())) for key in keys]


def kill_connections(store, valkey_url):
    """Has the store close the client's connection, as a restart or a proxy would."""
    own = store.client_id()
    with redis.Redis.from_url(valkey_url) as other:
        assert other.client_kill_filter(_id=own) == 1


def test_a_bulk_string_is_counted_in_bytes():
    assert bulk("☃".encode()) == b"$3\r\n\xe2\x98\x83\r\n"


def test_replies_come_in_the_order_of_the_commands(store):
    assert exchange(store, get("☃", "nothing", "a"), 3) == [b"2", None, b"1"]


def test_an_element_may_hold_several_commands(store):
    both = Packed(b"a", b"".join(one.commands for one in get("a", "☃")))
    assert exchange(store, [both], 2) == [b"1", b"2"]


def test_commands_are_sent_as_they_are_made(store):
    assert exchange(store, (one for one in get("a", "a")), 2) == [b"1", b"1"]


def test_nothing_asked_is_nothing_answered(store):
    assert exchange(store, [], 0) == []


def test_ordinary_commands_share_the_connection(store):
    exchange(store, get("a"), 1)
    assert store.get("a") == b"1"


def test_a_connection_that_the_store_has_closed_is_opened_again(store, valkey_url):
    exchange(store, get("a"), 1)
    kill_connections(store, valkey_url)
    assert exchange(store, get("a"), 1) == [b"1"]


def test_a_refused_command_leaves_no_reply_behind(store):
    wrong = Packed(b"a", b"*2\r\n$4\r\nLLEN\r\n" + bulk(b"a"))
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        exchange(store, [wrong, *get("a", "☃")], 3)
    assert exchange(store, get("☃"), 1) == [b"2"]


def test_a_reply_that_is_late_is_not_taken_for_the_next_one(valkey, store, valkey_url):
    with redis.Redis.from_url(
        valkey_url, max_connections=1, socket_timeout=1.0, retry=None
    ) as impatient:
        exchange(impatient, get("a"), 1)
        with standing_still(valkey.daemon.pid), pytest.raises(redis.TimeoutError):
            exchange(impatient, get("a"), 1)
        assert exchange(impatient, get("☃"), 1) == [b"2"]


def test_commands_that_cannot_be_made_leave_no_reply_behind(store):
    def failing():
        yield from get("a")
        raise KeyError("the next one")

    with pytest.raises(KeyError):
        exchange(store, failing(), 2)
    assert exchange(store, get("☃"), 1) == [b"2"]
