"""What is sent to the online store; the real sending is tested in `test_assets.py`."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
import redis

from recsys_assets.features.attributes import ATTRIBUTE_TABLES
from recsys_assets.features.declarations import DAILY_FEATURE_SETS, ITEM_PROMOTIONS
from recsys_assets.features.online import complete_through, fingerprint, materialize
from recsys_assets.storage import MissingPartition, Store

FIRST = date(2025, 1, 1)
ATTRIBUTES, PLAN = tuple(ATTRIBUTE_TABLES), (ITEM_PROMOTIONS.name,)
DAILY = tuple(features.name for features in DAILY_FEATURE_SETS)


def day(number, month=3):
    return datetime(2025, month, number, tzinfo=UTC)


class FeastStore:
    """Notes from when to when each view is sent."""

    def __init__(self, fails_at=None):
        self.sent = {}
        self.fails_at = fails_at

    def materialize(self, start, end, feature_views):
        (view,) = feature_views
        if view == self.fails_at:
            raise RuntimeError("killed")
        self.sent[view] = (start, end)


def when(sent, views):
    """From when to when all these views were sent; None if none of them was."""
    (moments,) = {sent.get(view) for view in views}
    return moments


@pytest.mark.integration
class TestMaterialize:
    @pytest.fixture
    def send(self, valkey_url):
        def send(number, sources="as they are", feast=None):
            feast = feast or FeastStore()
            made = materialize(feast, valkey_url, FIRST, date(2025, 3, number), sources)
            return feast.sent, made

        return send

    def test_at_first_everything_is_sent(self, send, valkey_url):
        sent, made = send(5)

        all_of_history = (day(1, month=1), day(5))
        assert when(sent, ATTRIBUTES) == when(sent, DAILY) == all_of_history
        assert when(sent, PLAN)[0] < all_of_history[0]  # what is valid may have begun before
        assert made.complete
        with redis.Redis.from_url(valkey_url) as client:
            assert complete_through(client) == day(5)

    def test_a_day_later_only_the_day_is_sent(self, send):
        send(5)
        sent, made = send(6)

        assert sent == dict.fromkeys((*PLAN, *DAILY), (day(5), day(6)))
        assert not made.complete

    def test_other_attributes_or_plans_are_sent_as_a_whole_and_days_are_not(self, send):
        send(5)
        sent, made = send(6, sources="a new item")

        assert when(sent, DAILY) == (day(5), day(6))
        assert when(sent, ATTRIBUTES) == (day(1, month=1), day(6))
        assert when(sent, PLAN)[0] < day(1, month=1)
        assert not made.complete
        assert when(send(7, sources="a new item")[0], ATTRIBUTES) is None

    def test_going_back_sends_all_of_history_anew(self, send):
        send(5)
        sent, made = send(4)

        assert when(sent, ATTRIBUTES) == when(sent, DAILY) == (day(1, month=1), day(4))
        assert made.complete

    @pytest.mark.parametrize("view", [ATTRIBUTES[0], *PLAN, DAILY[0]])
    def test_what_was_cut_short_is_begun_anew(self, send, valkey_url, view):
        send(5)
        with pytest.raises(RuntimeError):
            send(6, sources="changed", feast=FeastStore(fails_at=view))
        with redis.Redis.from_url(valkey_url) as client:
            assert complete_through(client) is None

        sent, made = send(6, sources="changed")

        assert when(sent, ATTRIBUTES) == when(sent, DAILY) == (day(1, month=1), day(6))
        assert made.complete


class TestFingerprint:
    @pytest.fixture
    def store(self, tmp_path):
        store = Store(tmp_path.as_uri())
        for name in (*ATTRIBUTES, *PLAN):
            store.table(name).write(pa.table({"value": [name]}))
        return store

    def test_it_is_the_same_while_attributes_and_plan_are(self, store):
        before = fingerprint(store)
        store.table(DAILY[0]).write(pa.table({"value": ["of a day"]}), "2025-03-01")

        assert fingerprint(store) == before

    @pytest.mark.parametrize("name", [*ATTRIBUTES, *PLAN])
    def test_any_change_shows(self, store, name):
        before = fingerprint(store)
        store.table(name).write(pa.table({"value": ["changed"]}))

        assert fingerprint(store) != before

    def test_a_table_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(MissingPartition, match=ATTRIBUTES[0]):
            fingerprint(Store(tmp_path.as_uri()))
