from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys_assets.events.contract import INTERACTIONS, MAX_ID_BYTES
from recsys_assets.events.validation import reason_counts, validate
from recsys_assets_tests.events.deliveries import DAY, GOOD, ITEMS, NOW, at, delivered

NEXT = DAY + timedelta(days=1)


def judge(rows, days=(DAY,)):
    return validate(rows, days, ITEMS, NOW)


def test_a_good_row_is_accepted_unchanged():
    result = judge(delivered({}))

    assert result.accepted.drop("day").row(0, named=True) == GOOD
    assert result.quarantined.is_empty()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"user_id": None}, "missing_user_id"),
        ({"user_id": ""}, "missing_user_id"),
        ({"user_id": " \t"}, "missing_user_id"),
        ({"item_id": None}, "missing_item_id"),
        ({"item_id": ""}, "missing_item_id"),
        ({"user_id": "u" * 4096}, "user_id_too_long"),
        ({"user_id": "ü" * (MAX_ID_BYTES // 2 + 1)}, "user_id_too_long"),
        ({"session_id": "s" * 4096}, "session_id_too_long"),
        ({"user_id": "ann\0"}, "user_id_holds_nul"),
        ({"store_id": "\0"}, "store_id_holds_nul"),
        ({"event": "wishlist"}, "unknown_event"),
        ({"event": None}, "unknown_event"),
        ({"quantity": -1}, "negative_quantity"),
        ({"quantity": 0}, "zero_quantity"),
        ({"price": -0.01, "discount": None}, "negative_price"),
        ({"price": float("nan"), "discount": None}, "price_not_finite"),
        ({"price": float("inf")}, "price_not_finite"),
        ({"price": 1e16}, "amount_too_large"),
        ({"price": 1e300, "quantity": None}, "amount_too_large"),
        ({"price": 1e9, "quantity": 1000}, "amount_too_large"),
        ({"quantity": -(2**63)}, "negative_quantity"),
        ({"discount": -1.0}, "negative_discount"),
        ({"discount": 3.6}, "discount_above_price"),
        ({"item_id": "gone"}, "unknown_item"),
    ],
)
def test_a_broken_row_goes_to_quarantine_with_its_reason(change, reason):
    result = judge(delivered({}, change))

    assert result.accepted.height == 1
    assert result.quarantined["reason"].to_list() == [reason]
    assert result.quarantined["source_file"].to_list() == ["a.parquet"]


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [
        (None, "missing_timestamp"),
        (datetime(1969, 12, 31, 23, 59, tzinfo=UTC), "before_1970"),
        (datetime(1970, 1, 1, tzinfo=UTC), "too_late"),
        (datetime(2099, 1, 1, tzinfo=UTC), "in_the_future"),
        (at(3), "in_the_future"),
        (datetime(2024, 4, 28, tzinfo=UTC), "too_late"),
    ],
)
def test_a_row_with_an_impossible_time_is_quarantined_on_the_day_of_delivery(timestamp, reason):
    result = judge(delivered({"timestamp": timestamp}, day=DAY))

    assert result.accepted.is_empty()
    assert result.quarantined["reason"].to_list() == [reason]
    assert result.quarantined["day"].to_list() == [DAY]


@pytest.mark.parametrize("ticks", [2**63 - 1, -(2**62)])
def test_a_time_beyond_the_calendar_is_quarantined(ticks):
    rows = delivered({}, day=DAY).with_columns(
        pl.lit(ticks).cast(pl.Datetime("us", "UTC")).alias("timestamp")
    )

    result = judge(rows)

    assert result.quarantined["timestamp"].to_list() == [str(ticks)]


def test_all_reasons_of_a_row_are_given():
    result = judge(delivered({"user_id": None, "price": -1.0, "discount": None}))

    assert result.quarantined["reason"].to_list() == ["missing_user_id,negative_price"]
    assert reason_counts(result.quarantined) == {"missing_user_id": 1, "negative_price": 1}


def test_unicode_ids_and_ids_of_the_greatest_length_are_accepted():
    longest = "u" * MAX_ID_BYTES

    result = judge(delivered({"user_id": longest}, {"user_id": "名前", "item_id": "café ☕"}))

    assert result.accepted["user_id"].sort().to_list() == [longest, "名前"]


def test_what_a_shop_does_not_know_is_no_fault():
    unknown = dict.fromkeys(("session_id", "quantity", "price", "discount", "device"))

    assert judge(delivered({**unknown, "event": "view"})).accepted.height == 1


def test_a_view_of_nothing_is_a_view():
    assert judge(delivered({"event": "view", "quantity": 0})).accepted.height == 1


def test_an_event_belongs_to_its_own_day_though_it_came_late():
    late = delivered({}, {"timestamp": at(3)}, day=NEXT)

    of_day, of_next = judge(late), judge(late, [NEXT])

    assert of_day.accepted["timestamp"].to_list() == [GOOD["timestamp"]]
    assert of_day.late == {DAY: 1}
    assert of_next.accepted["timestamp"].to_list() == [at(3)]


def test_out_of_order_rows_are_put_in_order():
    rows = delivered({"timestamp": at(2, 20)}, {"timestamp": at(2, 1)}, {"timestamp": at(2, 7)})

    assert judge(rows).accepted["timestamp"].to_list() == [at(2, 1), at(2, 7), at(2, 20)]


def test_the_same_rows_delivered_twice_are_one_and_are_counted():
    once = delivered({}, {"item_id": "soap"}, {"event": "buy"})

    result = judge(pl.concat([once, once.reverse()]))

    assert result.accepted.equals(judge(once).accepted)
    assert result.quarantined.equals(judge(once).quarantined)
    assert result.duplicates == {DAY: 2}


def test_two_lines_of_a_basket_at_different_moments_are_two_events():
    rows = delivered({}, {"timestamp": GOOD["timestamp"] + timedelta(seconds=1)})

    assert judge(rows).accepted.height == 2


def test_no_row_gives_no_row_with_the_columns_of_the_contract():
    result = judge(delivered({}).clear())

    assert result.accepted.columns == ["day", *INTERACTIONS.names]
    assert result.accepted.is_empty()
    assert result.quarantined.is_empty()
