from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.events.contract import PROMOTIONS
from recsys_assets.features import online
from recsys_assets.features.attributes import change_rows

START = datetime(2017, 1, 2, 5, tzinfo=UTC)


def hours(count):
    return START + timedelta(hours=count)


def plan(*spans):
    names = ("item_id", "valid_from", "valid_to", "display", "mailer")
    rows = [
        dict(zip(names, (item, hours(since), hours(until), display, mailer), strict=True))
        for item, since, until, display, mailer in spans
    ]
    return pa.Table.from_pylist(rows, schema=PROMOTIONS.schema)


def rows(table):
    return [
        (row["item_id"], (row["event_timestamp"] - START) // timedelta(hours=1), row["display"])
        for row in table.to_pylist()
    ]


def test_a_promotion_begins_and_ends():
    changes = change_rows(plan(("tea", 0, 168, 0.5, 0.0)))

    assert rows(changes) == [("tea", 0, 0.5), ("tea", 168, 0.0)]


def test_a_promotion_that_goes_on_changes_nothing():
    weeks = plan(("tea", 0, 168, 0.5, 0.0), ("tea", 168, 336, 0.5, 0.0))

    assert rows(change_rows(weeks)) == [("tea", 0, 0.5), ("tea", 336, 0.0)]


def test_the_strongest_of_several_counts():
    overlapping = plan(("tea", 0, 10, 0.2, 0.0), ("tea", 4, 6, 0.9, 0.0))

    assert rows(change_rows(overlapping)) == [
        ("tea", 0, 0.2),
        ("tea", 4, 0.9),
        ("tea", 6, 0.2),
        ("tea", 10, 0.0),
    ]


def test_items_do_not_touch_each_other():
    both = plan(("tea", 0, 10, 0.2, 0.0), ("bread", 5, 7, None, 0.4))
    table = change_rows(both)

    assert rows(table) == [
        ("bread", 5, 0.0),
        ("bread", 7, 0.0),
        ("tea", 0, 0.2),
        ("tea", 10, 0.0),
    ]
    assert table["mailer"].to_pylist() == [0.4, 0.0, 0.0, 0.0]


def test_no_plan_has_no_changes():
    assert change_rows(plan()).num_rows == 0


@pytest.mark.parametrize("seed", range(5))
def test_any_moment_has_the_strongest_valid_value(seed):
    rng = np.random.default_rng(seed)
    spans = [
        (f"item-{rng.integers(4)}", int(since), int(since + rng.integers(1, 20)), rng.random(), 0.0)
        for since in rng.integers(0, 60, size=40)
    ]
    changes = change_rows(plan(*spans)).to_pylist()
    for hour in range(-1, 85):
        for item in {span[0] for span in spans}:
            valid = [d for i, since, until, d, _ in spans if i == item and since <= hour < until]
            known = [
                r for r in changes if r["item_id"] == item and r["event_timestamp"] <= hours(hour)
            ]
            assert (known[-1]["display"] if known else 0.0) == max(valid, default=0.0)


def test_a_promotion_for_ever_stays_within_the_years_that_every_engine_knows():
    ever = {
        "item_id": "tea",
        "valid_from": datetime(1900, 1, 1, tzinfo=UTC),
        "valid_to": datetime(9999, 12, 31, tzinfo=UTC),
        "display": 0.5,
        "mailer": 0.0,
    }

    changes = change_rows(pa.Table.from_pylist([ever], schema=PROMOTIONS.schema))

    assert changes["display"].to_pylist() == [0.5, 0.0]
    since, until = changes["event_timestamp"].to_pylist()
    assert (since, until.year) == (online._EPOCH, 2200)  # what is earlier is never sent
