import threading

import pytest
import redis

from recsys_assets.runtime.waiting import WaitedTooLong
from recsys_assets.storage.lease import LeaseLost, held
from recsys_assets_tests.waiting import until

pytestmark = pytest.mark.integration
NAME = "a lock"


@pytest.fixture
def store(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        client.delete(NAME)
        yield client


def test_it_outlasts_its_lease_while_its_holder_works(store):
    with held(store, NAME, seconds=0.5, wait_seconds=60) as lease:
        token = store.get(NAME)
        threading.Event().wait(1.5)
        assert store.get(NAME) == token
        lease.require()
    assert not store.exists(NAME)


def test_the_next_one_waits_until_it_is_given_back(store):
    with held(store, NAME, seconds=60, wait_seconds=60):
        waiting = threading.Event()

        def next_one():
            waiting.set()
            with held(store, NAME, seconds=60, wait_seconds=600):
                store.set("got", 1)

        thread = threading.Thread(target=next_one)
        thread.start()
        assert waiting.wait(600)
        assert not store.exists("got")
    thread.join()
    assert store.getdel("got") == b"1"


def test_one_that_is_not_given_back_names_the_setting(store):
    store.set(NAME, "another run's")
    with (
        pytest.raises(WaitedTooLong, match=r"the lock a lock .*: raise RECSYS_WAIT_SECONDS"),
        held(store, NAME, seconds=60, wait_seconds=0.2),
    ):
        pass


def test_it_is_not_given_back_while_it_is_being_renewed(store, monkeypatch):
    renewing, over = threading.Event(), threading.Event()

    def slow(lock):
        renewing.set()
        over.wait(600)
        return True

    with held(store, NAME, seconds=0.1, wait_seconds=60) as lease:
        monkeypatch.setattr(type(lease.lock), "reacquire", slow)
        assert renewing.wait(600)
        store.persist(NAME)
        monkeypatch.setattr(
            type(lease.lock), "owned", lambda _: over.is_set() or pytest.fail("given back")
        )
        threading.Timer(0.3, over.set).start()
    assert not store.exists(NAME)


def test_one_that_was_lost_stops_its_holder_and_is_left_to_the_other(store):
    with held(store, NAME, seconds=60, wait_seconds=60) as lease:
        store.set(NAME, "another run's")
        with pytest.raises(LeaseLost, match="'a lock' was lost"):
            lease.require()
    assert store.get(NAME) == b"another run's"


def test_a_killed_holder_is_in_nobodys_way_for_long(store):
    lock = store.lock(NAME, timeout=0.2)
    lock.acquire()
    with held(store, NAME, seconds=60, wait_seconds=600):
        until(lambda: not lock.owned(), "the lease of the killed one to end")
