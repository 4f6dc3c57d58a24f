from datetime import UTC, date, datetime

import polars as pl
import pytest

from recsys_assets.features.declarations import ITEM_FEATURES
from recsys_assets.features.quality import (
    examples_from_the_future,
    from_the_future,
    out_of_range,
    recounted,
)

DAY = date(2017, 1, 10)
KNOWN = datetime(2017, 1, 11, tzinfo=UTC)
MIDNIGHT = int(KNOWN.timestamp())


def snapshot(**changes):
    row = {
        "item_id": "tea",
        "event_timestamp": KNOWN,
        "price": 1.5,
        "discount": 0.1,
        "popularity_1d": 1,
        "popularity_7d": 2,
        "popularity_28d": 2,
        "first_sold_at": MIDNIGHT - 900,
        "last_sold_at": MIDNIGHT - 1,
        "display": 0.0,
        "mailer": 1.0,
    }
    return pl.DataFrame([{**row, **changes}])


def test_a_good_row_breaks_nothing():
    rows = snapshot()
    events = pl.DataFrame({"item_id": ["tea", "tea"], "event": ["purchase", "view"]})

    assert out_of_range(ITEM_FEATURES, rows) == {}
    assert from_the_future(ITEM_FEATURES, rows, DAY) == {}
    assert recounted(ITEM_FEATURES, rows, events) == {}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"price": -1.0}, "price: not finite or negative"),
        ({"price": float("inf")}, "price: not finite or negative"),
        ({"discount": 1.2}, "discount: above 1"),
        ({"popularity_28d": None}, "popularity_28d: missing or negative"),
        ({"popularity_7d": 3}, "popularity_7d above popularity_28d"),
    ],
)
def test_what_is_out_of_range(changes, rule):
    assert out_of_range(ITEM_FEATURES, snapshot(**changes)) == {rule: 1}


def test_an_item_twice_at_one_time():
    rows = pl.concat([snapshot(), snapshot()])

    assert out_of_range(ITEM_FEATURES, rows) == {"repeated": 2}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"last_sold_at": MIDNIGHT}, "last_sold_at"),
        ({"event_timestamp": datetime(2017, 1, 10, tzinfo=UTC)}, "event_timestamp"),
    ],
)
def test_what_could_not_be_known(changes, name):
    assert from_the_future(ITEM_FEATURES, snapshot(**changes), DAY) == {name: 1}


@pytest.mark.parametrize("sold", [0, 2])
def test_an_event_of_another_day_shows_in_the_count(sold):
    events = pl.DataFrame(
        {"item_id": ["tea"] * sold, "event": ["purchase"] * sold},
        schema={"item_id": pl.String, "event": pl.String},
    )

    assert recounted(ITEM_FEATURES, snapshot(), events) == {"popularity_1d": 1}


def test_an_entity_with_events_but_no_row():
    events = pl.DataFrame({"item_id": ["tea", "milk"], "event": ["purchase", "purchase"]})

    assert recounted(ITEM_FEATURES, snapshot(), events) == {"popularity_1d": 1}


def test_an_example_that_knows_its_own_day():
    examples = pl.DataFrame(
        {
            "timestamp": [datetime(2017, 1, 11, 12, tzinfo=UTC)] * 2,
            "last_event_at": [MIDNIGHT - 1, MIDNIGHT],
            "first_sold_at": [None, MIDNIGHT - 1],
            "last_sold_at": [None, None],
        },
        schema_overrides={"last_sold_at": pl.Int64},
    )

    assert examples_from_the_future(examples) == {"last_event_at": 1}
