"""Servers that follow the changelog of items, and what becomes of the store meanwhile."""

import os
import signal

import numpy as np
import pytest
import redis

from recsys_assets.pipeline import item_changes
from recsys_assets.pipeline.available_items import AvailableItems
from recsys_assets.pipeline.item_changes import CHANGES, ITEMS, ItemChanges
from recsys_assets.pipeline.item_follower import ItemFollower
from recsys_assets.pipeline.request_log import connect
from recsys_assets.runtime.processes import Address
from recsys_assets.services.valkey import Valkey
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.waiting import LIMIT, standing_still, until

pytestmark = pytest.mark.integration
IDS = ["tea", "soap", "milk"]


class Server:
    """One process of a served model, as far as it looks at items."""

    def __init__(self, url):
        self.items = AvailableItems(IDS)
        self.follower = ItemFollower(ItemChanges(connect(url)), self.items)
        self.follower.start(LIMIT)

    def off_sale(self):
        rows = np.arange(len(IDS))
        return {IDS[row] for row in rows[~self.items.on_sale(rows)]}

    def comes_to(self, *item_ids):
        until(lambda: self.off_sale() == set(item_ids))


@pytest.fixture
def start():
    """Starts servers, which end with the test."""
    started = []

    def of(url):
        started.append(Server(url))
        return started[-1]

    yield of
    for server in started:
        server.follower.close()


def put(url, *item_ids, **change):
    with redis.Redis.from_url(url) as client:
        assert ItemChanges(client).put(dict.fromkeys(item_ids, change), 1_000_000)


@pytest.mark.parametrize("store", ["valkey_url", "valkey_cluster_url"])
def test_changes_reach_all_servers_whenever_they_started(start, store, request):
    url = request.getfixturevalue(store)
    client = connect(url)
    client.flushall()
    changes, early = ItemChanges(client), start(url)
    changes.put({"tea": {"available": False}, "unknown": {"available": False}}, 10)
    late = start(url)
    assert late.off_sale() == {"tea"}
    changes.put({"soap": {"withdrawn": True}, "tea": {"available": True}}, 10)
    for server in (early, late):
        server.comes_to("soap")
    assert early.follower.state().position == late.follower.state().position > 0
    assert early.follower.state().off_sale == 1
    client.close()


def test_changes_that_come_while_states_are_read_are_taken(start, valkey_url, monkeypatch):
    read = ItemChanges.states

    def slowly(changes):
        found = list(read(changes))
        put(valkey_url, "tea", available=True)
        put(valkey_url, "soap", available=False)
        return iter(found)

    put(valkey_url, "tea", available=False)
    monkeypatch.setattr(ItemChanges, "states", slowly)
    assert start(valkey_url).off_sale() == {"soap"}


def test_who_missed_changes_that_were_cut_off_reads_all_states(start, valkey_url, monkeypatch):
    server = start(valkey_url)
    put(valkey_url, "tea", available=False)
    server.comes_to("tea")
    place = server.follower._place
    monkeypatch.setattr(item_changes, "_KEPT", 10)
    # The server is at an earlier place than the first that is left.
    server.follower.close(LIMIT)
    put(valkey_url, "tea", available=True)
    put(valkey_url, "soap", available=False)
    for number in range(300):
        put(valkey_url, f"item {number}", available=False)
    with redis.Redis.from_url(valkey_url) as client:
        assert client.xrange(CHANGES, count=1)[0][0].decode() > place
    follower = ItemFollower(ItemChanges(connect(valkey_url)), server.items)
    follower._place = place
    server.follower = follower
    follower._begin()
    server.comes_to("soap")


class TestStoreAway:
    @pytest.fixture
    def own_valkey(self, tmp_path):
        server = Valkey(Address("127.0.0.1", free_port()), tmp_path)
        server.start()
        yield server
        server.stop()

    @pytest.fixture
    def url(self, own_valkey):
        return f"redis://127.0.0.1:{own_valkey.address.port}/0"

    def kill(self, valkey):
        os.kill(valkey.daemon.pid, signal.SIGKILL)
        until(lambda: not valkey.answers())

    def test_what_was_known_stays_until_it_is_back_with_all_it_knew(self, own_valkey, url, start):
        server = start(url)
        put(url, "tea", available=False)
        server.comes_to("tea")
        self.kill(own_valkey)
        until(lambda: server.follower.state().age > 1)
        assert server.off_sale() == {"tea"}
        own_valkey.start()
        put(url, "soap", available=False)
        server.comes_to("tea", "soap")
        until(lambda: server.follower.state().age < 1)

    def test_a_store_that_has_forgotten_is_believed(self, own_valkey, url, start, tmp_path):
        server = start(url)
        put(url, "tea", available=False)
        server.comes_to("tea")
        own_valkey.stop()
        for file in (tmp_path / "data" / "appendonlydir").iterdir():
            file.unlink()
        own_valkey.start()
        server.comes_to()
        put(url, "soap", available=False)
        server.comes_to("soap")

    def test_a_server_starts_without_it_and_learns_of_it_later(self, own_valkey, url, start):
        put(url, "tea", available=False)
        self.kill(own_valkey)
        server = start(url)
        assert server.off_sale() == set()
        assert server.follower.state().position == 0
        own_valkey.start()
        server.comes_to("tea")

    def test_one_that_says_nothing_delays_a_start_no_longer_than_said(self, own_valkey, url):
        with standing_still(own_valkey.daemon.pid):
            follower = ItemFollower(ItemChanges(connect(url)), AvailableItems(IDS))
            follower.start(0.01)
            assert follower.state().off_sale == 0
        follower.close(LIMIT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_replaced_and_nothing_is_missed(start, valkey_url, monkeypatch):
    server = start(valkey_url)
    after = ItemChanges.after

    def broken(*_):
        raise MemoryError

    monkeypatch.setattr(ItemChanges, "after", broken)
    until(lambda: not server.follower._thread.is_alive())
    put(valkey_url, "tea", available=False)
    monkeypatch.setattr(ItemChanges, "after", after)
    assert server.follower.state().off_sale == 0
    server.comes_to("tea")


def test_what_cannot_be_read_changes_nothing_until_it_is_gone(start, valkey_url, caplog):
    server = start(valkey_url)
    put(valkey_url, "tea", available=False)
    server.comes_to("tea")
    with redis.Redis.from_url(valkey_url) as client:
        client.hset(ITEMS, "soap", "written by hand")
        client.xadd(CHANGES, {"written": "by hand"})
        until(lambda: "changes cannot be read" in caplog.text)
        assert server.off_sale() == {"tea"}
        client.hdel(ITEMS, "soap")
    put(valkey_url, "milk", available=False)
    server.comes_to("tea", "milk")
