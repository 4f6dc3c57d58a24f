"""What is sent to the online store; that it arrives is tested in `test_online_correction.py`."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
import redis

from recsys_assets.features.attributes import ATTRIBUTE_TABLES
from recsys_assets.features.declarations import DAILY_FEATURE_SETS, ITEM_PROMOTIONS
from recsys_assets.features.online import OfflineContents, complete_through, materialize
from recsys_assets.storage import MissingPartition, Store

FIRST = date(2025, 1, 1)
ATTRIBUTES, PLAN = tuple(ATTRIBUTE_TABLES), (ITEM_PROMOTIONS.name,)
DAILY = tuple(features.name for features in DAILY_FEATURE_SETS)


WHOLE = dict.fromkeys((*ATTRIBUTES, *PLAN), "as it was")
CONTENTS = OfflineContents(WHOLE, {f"2025-03-0{n}": "as first computed" for n in range(1, 9)})
CHANGED = OfflineContents(dict.fromkeys(WHOLE, "changed"), CONTENTS.days)


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
        def send(number, contents=CONTENTS, feast=None):
            feast = feast or FeastStore()
            made = materialize(feast, valkey_url, FIRST, date(2025, 3, number), contents)
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

        assert when(sent, DAILY) == (day(6), day(6))
        assert when(sent, PLAN) == (day(5), day(6))  # a promotion may begin at any hour
        assert when(sent, ATTRIBUTES) is None
        assert not made.complete

    @pytest.mark.parametrize("view", [*ATTRIBUTES, *PLAN])
    def test_what_changed_as_a_whole_is_sent_as_a_whole_and_nothing_else_is(self, send, view):
        send(5)
        changed = replace(CONTENTS, whole={**WHOLE, view: "a new item"})
        sent, made = send(6, changed)

        start, end = sent.pop(view)
        assert (start <= day(1, month=1), end) == (True, day(6))
        assert set(sent) == {*DAILY, *PLAN} - {view}
        assert when(sent, DAILY) == (day(6), day(6))
        assert not made.complete
        assert view in PLAN or view not in send(7, changed)[0]

    @pytest.mark.parametrize("number", [2, 5, 6])
    def test_a_day_that_was_computed_again_is_sent_with_all_after_it(self, send, number):
        send(5)
        corrected = replace(CONTENTS, days={**CONTENTS.days, "2025-03-03": "a file came late"})
        sent, made = send(number, corrected)

        end = day(max(number, 5))
        assert when(sent, DAILY) == (day(4), end)
        assert (made.start, made.end, made.complete) == (day(4), end, False)
        assert when(send(number, corrected)[0], DAILY) is None

    def test_it_never_goes_back(self, send, valkey_url):
        send(5)
        sent, made = send(4)

        assert when(sent, DAILY) is None
        assert made.end == day(5)
        with redis.Redis.from_url(valkey_url) as client:
            assert complete_through(client) == day(5)

    @pytest.mark.parametrize("view", [ATTRIBUTES[0], *PLAN, DAILY[0]])
    def test_what_was_cut_short_is_begun_anew(self, send, valkey_url, view):
        send(5)
        with pytest.raises(RuntimeError):
            send(6, CHANGED, feast=FeastStore(fails_at=view))
        with redis.Redis.from_url(valkey_url) as client:
            assert complete_through(client) is None

        sent, made = send(6, CHANGED)

        assert when(sent, ATTRIBUTES) == when(sent, DAILY) == (day(1, month=1), day(6))
        assert made.complete


class TestContents:
    @pytest.fixture
    def store(self, tmp_path):
        store = Store(tmp_path.as_uri())
        for name in (*ATTRIBUTES, *PLAN):
            store.table(name).write(pa.table({"value": [name]}))
        for name in DAILY:
            store.table(name).write(pa.table({"value": [name]}), "2025-03-01")
        return store

    def test_a_new_day_leaves_the_others_as_they_are(self, store):
        before = OfflineContents.of(store)
        store.table(DAILY[0]).write(pa.table({"value": ["of a day"]}), "2025-03-02")
        after = OfflineContents.of(store)

        assert after.whole == before.whole
        assert after.first_changed(before) == day(3)

    @pytest.mark.parametrize("name", DAILY)
    def test_a_day_that_is_written_again_has_changed(self, store, name):
        before = OfflineContents.of(store)
        store.table(name).write(pa.table({"value": ["corrected"]}), "2025-03-01")

        assert OfflineContents.of(store).first_changed(before) == day(2)

    @pytest.mark.parametrize("name", [*ATTRIBUTES, *PLAN])
    def test_any_change_of_attributes_or_plan_shows(self, store, name):
        before = OfflineContents.of(store)
        store.table(name).write(pa.table({"value": ["changed"]}))
        after = OfflineContents.of(store)

        assert after.whole != before.whole
        assert after.first_changed(before) is None

    def test_a_table_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(MissingPartition, match=ATTRIBUTES[0]):
            OfflineContents.of(Store(tmp_path.as_uri()))
