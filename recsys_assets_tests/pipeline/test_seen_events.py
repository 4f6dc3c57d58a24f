import numpy as np
import pytest

from recsys_assets.pipeline.seen_items import SeenItems, record_events
from recsys_assets.pipeline.seen_settings import FilterSettings
from recsys_assets.storage.online_store import open_store

pytestmark = pytest.mark.integration
ITEMS = ["milk", "tea", "soap"]


@pytest.fixture(params=["valkey_url", "valkey_cluster_url"])
def store(request):
    """One Valkey, then a cluster."""
    with open_store(request.getfixturevalue(request.param)) as client:
        client.flushall()
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


class TestLifetime:
    """Of a filter, by what is known of the user."""

    WEEK = 7 * 86_400

    def test_an_id_that_nobody_has_heard_of_is_forgotten_after_a_week(self, store):
        record_events(store, [("invented", "soap")])
        assert 0 < store.ttl("seen:{invented}") <= self.WEEK

    def test_each_purchase_counts_anew(self, store):
        record_events(store, [("ann", "soap")])
        store.expire("seen:{ann}", 60)
        record_events(store, [("ann", "tea")])
        assert 60 < store.ttl("seen:{ann}") <= self.WEEK

    def test_what_history_confirms_stays(self, store):
        record_events(store, [("ann", "soap")])
        SeenItems(store).add({"ann": ["soap"]})
        assert store.ttl("seen:{ann}") == -1

    def test_a_known_user_s_stays(self, store):
        SeenItems(store).replace_all({"ann": ["milk"]})
        record_events(store, [("ann", "soap")])
        assert store.ttl("seen:{ann}") == -1

    def test_a_longer_life_is_not_shortened(self, store):
        SeenItems(store, settings=FilterSettings(expire_days=30)).add({"ann": ["milk"]})
        record_events(store, [("ann", "soap")], FilterSettings(expire_days=30))
        assert store.ttl("seen:{ann}") > self.WEEK


def test_nothing_happened(store):
    assert record_events(store, []) == 0
