"""Numbers kept encoded equal those encoded for every candidate anew."""

from datetime import UTC, datetime

import numpy as np
import pytest

from recsys_assets.features.declarations import ITEM_FEATURES
from recsys_assets.features.encoding import Encoding
from recsys_assets.features.request_time import ITEM_REQUEST_FEATURES, age_days
from recsys_assets.models import inputs
from recsys_assets.models.inputs import ItemNumbers
from recsys_assets.models.item_history import WEEK, Changes, promotions_at

ITEMS = 40
DAY = 86_400
MONDAY = int(datetime(2017, 10, 2, tzinfo=UTC).timestamp())
ROWS = np.arange(ITEMS)


def activity():
    """Numbers of all items; some are missing, and some items have never been sold."""
    random = np.random.default_rng(1)
    columns = {name: random.uniform(0, 50, ITEMS) for name in ITEM_FEATURES.columns}
    for values in columns.values():
        values[random.random(ITEMS) < 0.2] = np.nan
    sold = MONDAY - random.integers(1, 300, ITEMS) * float(DAY)
    sold[::7] = np.nan
    return columns | {"first_sold_at": sold}


def plan(weeks=6):
    """Promotions that begin on Mondays and end a week later, in stores and in the mailer."""
    random = np.random.default_rng(2)
    keys, shares = [], []
    for row in range(0, ITEMS, 2):
        for week in range(-3, weeks):
            keys.append((row << 34) + MONDAY + week * WEEK)
            shares.append(random.choice([0.0, 0.3, 0.9]))
    order = np.argsort(keys)
    shares = np.array(shares)[order]
    return Changes(np.array(keys)[order], {"display": shares, "mailer": shares[::-1].copy()})


@pytest.fixture
def columns():
    return activity()


@pytest.fixture
def encoding(columns):
    fitted = at_moments(columns, plan(), np.full(ITEMS, MONDAY), ROWS)
    return Encoding.fit(fitted, [], list(fitted))


def at_moments(columns, promotions, moments, rows):
    """All numbers of the candidates, each at its own moment."""
    return {
        **{name: columns[name][rows] for name in ITEM_FEATURES.columns},
        **promotions_at(promotions, rows, moments),
        "age_days": age_days(moments, columns["first_sold_at"][rows]),
    }


def same(kept, encoding, columns, promotions, moments, rows):
    expected = encoding.encode_dense(at_moments(columns, promotions, moments, rows))
    found = kept.at(moments, rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_the_encoding_holds_what_is_known_at_the_request(encoding):
    assert set(ITEM_REQUEST_FEATURES) <= set(encoding.normalisers)


@pytest.mark.parametrize("days", [0.0, 0.4, 3.0, 6.999, 7.0, 30.0, 200.0, -400.0])
def test_at_one_moment(encoding, columns, days):
    moments = np.full(ITEMS, MONDAY + int(days * DAY))
    same(ItemNumbers(encoding, columns, plan()), encoding, columns, plan(), moments, ROWS)


def test_candidates_in_any_order_and_twice(encoding, columns):
    rows = np.array([7, 3, 3, 39, 0])
    moments = np.full(len(rows), MONDAY + DAY)
    same(ItemNumbers(encoding, columns, plan()), encoding, columns, plan(), moments, rows)


def test_ages_of_a_batch_are_those_of_each_request(encoding, columns):
    moments = MONDAY + np.arange(ITEMS) * 1800
    same(ItemNumbers(encoding, columns, plan()), encoding, columns, plan(), moments, ROWS)


def test_a_batch_that_spans_a_change_of_promotions(encoding, columns):
    kept = ItemNumbers(encoding, columns, plan())
    moments = MONDAY + WEEK + np.tile([-1, 0, 1, -WEEK], ITEMS // 4)
    same(kept, encoding, columns, plan(), moments, ROWS)
    same(kept, encoding, columns, plan(), moments[::-1].copy(), ROWS)


def test_the_week_before_changes_at_moments_of_its_own(encoding, columns):
    one_display = Changes(
        np.array([(0 << 34) + MONDAY]), {"display": np.ones(1)} | {"mailer": np.zeros(1)}
    )
    kept = ItemNumbers(encoding, columns, one_display)
    moments = np.array([MONDAY - 1, MONDAY, MONDAY + WEEK - 1, MONDAY + WEEK])
    same(kept, encoding, columns, one_display, moments, np.zeros(4, dtype=np.int64))


def test_a_shop_without_promotions(encoding, columns):
    none = Changes(np.empty(0, np.int64), {"display": np.empty(0), "mailer": np.empty(0)})
    moments = np.full(ITEMS, MONDAY)
    same(ItemNumbers(encoding, columns, none), encoding, columns, none, moments, ROWS)


def test_what_is_handed_out_may_be_changed(encoding, columns):
    kept = ItemNumbers(encoding, columns, plan())
    moments = np.full(ITEMS, MONDAY)
    kept.at(moments, ROWS)[:] = -1.0
    same(kept, encoding, columns, plan(), moments, ROWS)


def test_memory_is_bounded_however_many_spans_are_asked_for(encoding, columns):
    kept = ItemNumbers(encoding, columns, plan())
    for week in (0, 1, 2, 3, 4, 5, 0):
        moments = np.full(ITEMS, MONDAY + week * WEEK)
        same(kept, encoding, columns, plan(), moments, ROWS)
    assert len(kept._spans) == inputs._SPANS
