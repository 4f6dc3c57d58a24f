import numpy as np
import pytest
import redis

from recsys_assets.serving.seen_events import record_events
from recsys_assets.serving.seen_items import SeenItems
from recsys_assets.serving.seen_settings import FilterSettings

pytestmark = pytest.mark.integration
ITEMS = ["milk", "tea", "soap"]


@pytest.fixture
def store(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        yield client


def test_a_purchase_recorded_now_counts_in_the_very_next_question(store):
    serving = SeenItems(store, ITEMS)
    serving.replace_all({"ann": ["milk"]})
    (before,) = serving.seen_rows(["ann"], [np.arange(3)])

    recorded = record_events(store, [("ann", "soap"), ("bob", "tea"), ("", "tea")])

    after = serving.seen_rows(["ann", "bob"], [np.arange(3)] * 2)
    assert recorded == 2
    assert before.tolist() == [True, False, False]
    assert [found.tolist() for found in after] == [[True, False, True], [False, True, False]]


def test_events_delivered_twice_count_once(store):
    for _ in range(2):
        assert record_events(store, [("ann", "soap"), ("ann", "soap")]) == 1

    assert store.execute_command("BF.CARD", "seen:{ann}") == 1


def test_a_new_users_filter_is_as_set(store):
    record_events(store, [("ann", "soap")], FilterSettings(min_capacity=50, expire_days=1))

    assert SeenItems(store).info().capacity == 50
    assert 0 < store.ttl("seen:{ann}") <= 86_400


def test_nothing_happened(store):
    assert record_events(store, []) == 0
