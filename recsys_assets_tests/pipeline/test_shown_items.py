from dataclasses import replace

import numpy as np
import pytest
import redis

from recsys_assets.pipeline.request_log import Answer
from recsys_assets.pipeline.seen_items import SeenItems
from recsys_assets.pipeline.shown_items import ShownItems

HOUR = 3600
ITEMS = ["milk", "tea", "soap"]


class Clock:
    now = 40_000 * 24 * HOUR  # when a period of 24 hours begins

    def __call__(self):
        return self.now


def test_at_least_one_hour():
    with pytest.raises(ValueError, match="hours=0"):
        ShownItems(redis.Redis(), 0)


@pytest.mark.integration
class TestShown:
    @pytest.fixture
    def store(self, valkey_url):
        with redis.Redis.from_url(valkey_url) as client:
            yield client

    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def shown(self, store, clock):
        return ShownItems(store, 24, clock=clock)

    def left_out(self, store, shown, user):
        (found,) = SeenItems(store, ITEMS, shown=shown).seen_rows([user], [np.arange(3)])
        return [item for item, out in zip(ITEMS, found, strict=True) if out]

    def test_items_shown_and_items_bought_are_left_out_together(self, store, shown):
        SeenItems(store).add({"ann": ["soap"]})
        shown.add([("ann", ["milk"]), ("bob", ["tea"]), ("ann", ["milk", "tea"])])

        assert self.left_out(store, shown, "ann") == ITEMS
        assert self.left_out(store, shown, "bob") == ["tea"]

    @pytest.mark.parametrize(("hours", "away"), [(24, True), (47, True), (48, False)])
    def test_they_come_back_after_one_to_two_times_the_hours(
        self, store, shown, clock, hours, away
    ):
        shown.add([("ann", ["milk"])])
        clock.now += hours * HOUR

        assert bool(self.left_out(store, shown, "ann")) is away

    def test_late_in_a_period_they_stay_away_for_the_hours(self, store, shown, clock):
        clock.now += 23 * HOUR
        shown.add([("ann", ["milk"])])
        clock.now += 24 * HOUR

        assert self.left_out(store, shown, "ann") == ["milk"]

    def test_the_store_forgets_them_by_itself(self, store, shown):
        shown.add([("ann", ["milk"])])

        (key,) = store.keys("shown:*")
        assert 47 * HOUR < store.ttl(key) <= 48 * HOUR

    def test_anonymous_users_and_empty_answers_leave_nothing(self, store, shown):
        shown.add([("", ["milk"]), ("ann", [])])

        assert store.dbsize() == 0

    def test_logged_answers_are_remembered_by_what_they_showed(self, store, shown):
        answer = Answer(
            request_id="1",
            release=1,
            timestamp=0,
            answered_at=0,
            degraded=False,
            k=2,
            context=b'{"user_id": "ann", "age": NaN}',
            rows=np.array([2, 0, 1]),
            scores=np.zeros(3, dtype=np.float32),
            shown=np.array([2, 0]),
            propensities=np.ones(2, dtype=np.float32),
        )
        shown.remember_answers(ITEMS)([answer, replace(answer, context=b'{"user_id": ""}')])

        assert self.left_out(store, shown, "ann") == ["tea", "soap"]
        assert len(store.keys()) == 1

    def test_purchases_filled_anew_leave_shown_items_alone(self, store, shown):
        shown.add([("ann", ["milk"])])
        SeenItems(store).replace_all({"bob": ["tea"]})

        assert self.left_out(store, shown, "ann") == ["milk"]
