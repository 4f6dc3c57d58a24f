"""Filters of seen items as days come in; how a request uses them is tested in the pipeline."""

import os
import signal
import time

import numpy as np
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from recsys_assets.pipeline.seen_items import SeenItems
from recsys_assets.pipeline.seen_settings import MIN_CAPACITY, FilterSettings
from recsys_assets.runtime.processes import Address
from recsys_assets.services.valkey import Valkey
from recsys_assets.storage.online_store import open_store
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.waiting import standing_still

pytestmark = pytest.mark.integration


@pytest.fixture
def one_store(valkey_url):
    with open_store(valkey_url) as client:
        yield client


@pytest.fixture
def filters(store):
    return SeenItems(store)


def seen(store, user, *items):
    (found,) = SeenItems(store, items).seen_rows([user], [np.arange(len(items))])
    return [item for item, is_seen in zip(items, found, strict=True) if is_seen]


def test_a_days_purchases_join_those_before(store, filters):
    filters.replace_all({"ann": ["milk"]})
    filters.add({"ann": ["tea"]})

    assert seen(store, "ann", "milk", "tea", "soap") == ["milk", "tea"]


def test_a_new_user_gets_a_filter(store, filters):
    filters.add({"bob": ["tea"]})

    assert seen(store, "bob", "tea", "milk") == ["tea"]
    assert seen(store, "ann", "tea") == []


def test_adding_a_day_again_changes_nothing(store, filters):
    for _ in range(2):
        filters.add({"ann": ["milk", "tea"]})

    assert store.execute_command("BF.CARD", "seen:{ann}") == 2


def test_more_users_than_a_round_trip_holds_are_all_there(store, filters):
    users = [f"user-{n}" for n in range(450)]
    items = [f"of-{user}" for user in users]
    filters.add({user: [item] for user, item in zip(users, items, strict=True)})

    rows = [np.array([n, (n + 1) % 450]) for n in range(450)]
    found = SeenItems(store, items).seen_rows(users, rows)
    assert all(own for own, _ in found)
    assert sum(anothers for _, anothers in found) <= 10


def test_users_of_a_batch_are_told_apart(store, filters):
    filters.add({"ann": ["milk"], "bob": ["tea", "crème brûlée"]})
    items = SeenItems(store, ["milk", "tea", "crème brûlée"])

    users = ["bob", "", "ann", "carl", "bob"]
    rows = [np.array(r, dtype=np.int64) for r in ([0, 1, 2], [0, 1], [1, 0], [0, 1], [])]
    found = [answer.tolist() for answer in items.seen_rows(users, rows)]
    assert found == [[False, True, True], [False] * 2, [False, True], [False] * 2, []]


def test_anonymous_users_cost_no_round_trip():
    nowhere = redis.Redis(host="127.0.0.1", port=1)
    (found,) = SeenItems(nowhere, ["milk"]).seen_rows([""], [np.array([0])])

    assert found.tolist() == [False]


def test_a_filter_that_outgrows_its_capacity_forgets_nothing(store, filters):
    for part in range(3):
        items = [f"item-{part}-{n}" for n in range(MIN_CAPACITY)]
        filters.add({"ann": items})
    bought = [f"item-{part}-{n}" for part in range(3) for n in range(MIN_CAPACITY)]
    others = [f"other-{n}" for n in range(1000)]

    assert seen(store, "ann", *bought) == bought
    assert len(seen(store, "ann", *others)) <= 50


def test_the_stated_error_rate_holds_at_five_times_the_capacity(store):
    settings = FilterSettings(error_rate=0.02, min_capacity=200)
    filters = SeenItems(store, settings=settings)
    for start in range(0, 1000, 100):
        filters.add({"ann": [f"item-{n}" for n in range(start, start + 100)]})

    info = filters.info()
    assert (info.users, info.most_parts) == (1, 3)  # 200 + 400 + 800
    assert 960 <= info.items <= 1000  # one taken for bought already is not counted
    assert info.capacity == 1400
    mistakes = len(seen(store, "ann", *(f"other-{n}" for n in range(10_000))))
    assert 0 < mistakes <= 10_000 * 2 * settings.error_rate
    assert info.summary().startswith("1 filters of seen items looked at: 7")


def test_growth_sets_how_many_parts_a_filter_has(store):
    filters = SeenItems(store, settings=FilterSettings(min_capacity=100, growth=10))
    for start in range(0, 1000, 50):
        filters.add({"ann": [f"item-{n}" for n in range(start, start + 50)]})

    assert filters.info().most_parts == 2


def test_no_filters_no_figures(filters):
    info = filters.info()

    assert (info.users, info.items, info.most_parts) == (0, 0, 0)
    assert np.isnan(info.false_positive_rate)
    assert info.summary() == "no filters of seen items"


def test_a_users_filter_is_forgotten_days_after_the_last_addition(store):
    filters = SeenItems(store, settings=FilterSettings(expire_days=30))
    filters.replace_all({"ann": ["milk"], "bob": ["milk"]})
    store.expire("seen:{ann}", 60)
    store.expire("seen:{bob}", 60)
    filters.add({"ann": ["tea"]})

    assert 29 * 86_400 < store.ttl("seen:{ann}") <= 30 * 86_400
    assert store.ttl("seen:{bob}") <= 60


def test_filters_without_an_expiry_stay(store, filters):
    SeenItems(store, settings=FilterSettings(expire_days=30)).add({"ann": ["milk"]})
    filters.add({"ann": ["tea"]})

    assert store.ttl("seen:{ann}") == -1


def test_nobody_bought_anything(filters):
    filters.add({})


def test_an_answer_that_comes_too_late_is_nobody_elses(one_store, valkey, valkey_url):
    SeenItems(one_store).add({"ann": ["milk"]})
    impatient = redis.Redis.from_url(valkey_url, socket_timeout=1.0, retry=Retry(NoBackoff(), 0))
    items = SeenItems(impatient, ["milk", "tea"])
    assert items.seen_rows(["ann"], [np.array([0])])[0].tolist() == [True]

    with standing_still(valkey.daemon.pid), pytest.raises(redis.TimeoutError):
        items.seen_rows(["ann"], [np.array([0])])
    found = items.seen_rows(["carl", "ann"], [np.array([0, 1]), np.array([1, 0])])
    assert [answer.tolist() for answer in found] == [[False, False], [False, True]]
    impatient.close()


def test_an_error_in_the_middle_of_a_batch_hurts_no_other_call(one_store, valkey_url):
    SeenItems(one_store).add({"ann": ["milk"], "bob": ["milk"]})
    rights = {"nopass": True, "commands": ["+@all"], "keys": ["seen:{ann}"]}
    one_store.acl_setuser("reader", enabled=True, **rights)
    reader = redis.Redis.from_url(valkey_url.replace("//", "//reader:any@"))
    items = SeenItems(reader, ["milk"])

    with pytest.raises(redis.exceptions.NoPermissionError):
        items.seen_rows(["bob", "ann"], [np.array([0]), np.array([0, 0])])
    assert items.seen_rows(["ann"], [np.array([0])])[0].tolist() == [True]
    reader.close()
    one_store.acl_deluser("reader")


@pytest.fixture
def own_valkey(tmp_path):
    server = Valkey(Address("127.0.0.1", free_port()), tmp_path)
    server.start()
    yield server
    server.stop()


def test_a_killed_store_costs_the_calls_while_it_is_down_and_no_more(own_valkey):
    url = f"redis://127.0.0.1:{own_valkey.address.port}/0"
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
        items = SeenItems(client, ["milk", "tea"])
        items.add({"ann": ["milk"]})
        asked = (["ann", "ann"], [np.array([0, 1]), np.array([1])])
        before = [answer.tolist() for answer in items.seen_rows(*asked)]

        os.kill(own_valkey.start(), signal.SIGKILL)
        while own_valkey.answers():  # a killed process takes a moment to end
            time.sleep(0.01)
        with pytest.raises(redis.ConnectionError):
            items.seen_rows(*asked)
        own_valkey.start()
        after = [answer.tolist() for answer in items.seen_rows(*asked)]
        assert after == before == [[True, False], [False]]

        own_valkey.stop()
        own_valkey.start()
        unnoticed = [answer.tolist() for answer in items.seen_rows(*asked)]
        assert unnoticed == before
