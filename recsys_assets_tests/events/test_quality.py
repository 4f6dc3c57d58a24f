from datetime import date, timedelta

import pyarrow as pa
import pytest

from recsys_assets.events.contract import INTERACTIONS
from recsys_assets.events.quality import (
    broken_rows,
    days_over,
    rows_per_day,
    unusual_days,
    usual_rows,
)
from recsys_assets.storage import Store
from recsys_assets_tests.events.deliveries import DAY, GOOD, at


def stored(*changes):
    return pa.Table.from_pylist([{**GOOD, **row} for row in changes], schema=INTERACTIONS.schema)


def test_good_rows_break_nothing():
    assert broken_rows(stored({}, {"item_id": "soap"}), DAY, DAY) == {}


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"user_id": None}, {"null_user_id": 1}),
        ({"item_id": ""}, {"bad_length_item_id": 1}),
        ({"event": "buy"}, {"unknown_event": 1}),
        ({"timestamp": at(3)}, {"outside_the_days": 1}),
        ({"price": -1.0}, {"negative_amount": 1}),
        ({}, {"repeated": 2}),
    ],
)
def test_broken_promises_are_counted(change, broken):
    assert broken_rows(stored({}, change), DAY, DAY) == broken


def test_rows_are_counted_without_reading_them(tmp_path):
    store = Store(tmp_path.as_uri())
    store.table("t").write(stored({}, {}), "2024-05-02")
    store.table("t").write(stored(), "2024-05-03")

    days = [DAY + timedelta(days=number) for number in range(3)]

    assert rows_per_day(store, "t", days) == {days[0]: 2, days[1]: 0}


def test_the_usual_number_is_that_of_the_same_weekday():
    counts = {DAY - timedelta(days=back): 100 * (back % 7 == 0) for back in range(1, 40)}

    assert usual_rows(counts, DAY) == 100
    assert usual_rows({}, DAY) is None


def test_days_with_unusual_volume_are_found_in_a_long_run():
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(60)]
    counts = dict.fromkeys(days, 100) | {days[40]: 10, days[50]: 0, days[55]: 900}

    assert set(unusual_days(counts, days, 0.5, 2.0)) == {days[40], days[50], days[55]}


def test_a_share_of_few_rows_says_nothing():
    few, many = DAY, DAY + timedelta(days=1)

    assert days_over({few: 5, many: 100}, {few: 5, many: 50}, 0.05, 100) == {many: 50 / 150}
