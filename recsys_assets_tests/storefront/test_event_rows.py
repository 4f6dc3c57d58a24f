import json
from datetime import UTC, datetime, timedelta

import pytest

from recsys_assets.events.contract import INTERACTIONS, LATE_DAYS
from recsys_assets.storefront.event_rows import (
    Event,
    UnusableEvent,
    as_table,
    broken_rules,
    shared_ids,
)
from recsys_assets_tests.storefront.events import GOOD, NOW


def reason(**fields):
    return broken_rules([Event.of({**GOOD, **fields})], NOW).get(0)


class TestTypes:
    def test_a_row_has_the_contracts_columns(self):
        event = Event.of({**GOOD, "event_id": "e1"})
        assert list(event.row) == INTERACTIONS.names
        assert event.row["store_id"] is None
        assert (event.event_id, event.made) == ("e1", False)
        assert as_table([event]).schema == INTERACTIONS.schema

    def test_an_event_without_an_id_gets_one_of_its_own(self):
        first, second = Event.of(GOOD), Event.of({**GOOD, "event_id": None})
        assert first.event_id != second.event_id
        assert first.made
        assert second.made

    @pytest.mark.parametrize(
        "time",
        ["2026-11-23T11:59:00Z", "2026-11-23T12:59:00+01:00", "2026-11-23T11:59:00", 1795435140],
    )
    def test_times_are_utc(self, time):
        assert Event.of({**GOOD, "timestamp": time}).time == datetime(
            2026, 11, 23, 11, 59, tzinfo=UTC
        )

    @pytest.mark.parametrize(
        ("field", "value", "problem"),
        [
            ("user_id", 7, "user_id is 7: give a string"),
            ("user_id", "\ud800", "user_id is .*: give a string"),
            ("timestamp", "yesterday", "timestamp is 'yesterday': give ISO 8601"),
            ("timestamp", 10**20, "timestamp is 1000.*: give ISO 8601"),
            ("timestamp", True, "timestamp is True: give ISO 8601"),
            ("timestamp", 1_795_435_140_000, "seconds since 1970"),
            ("timestamp", 1_795_435_140_000_000_000, "seconds since 1970"),
            ("timestamp", -(2**63), "seconds since 1970"),
            ("timestamp", float("nan"), "seconds since 1970"),
            ("timestamp", 1e308, "seconds since 1970"),
            ("timestamp", "0001-01-01T00:00:00+10:00", "seconds since 1970"),
            ("quantity", 1.5, "quantity is 1.5: give a whole number"),
            ("quantity", 2**63, "quantity is .*: give a whole number"),
            ("quantity", float("inf"), "quantity is inf: give a whole number"),
            ("price", "3.5", "price is '3.5': give a number"),
            ("price", 10**400, "price is 1000.*: give a number"),
            ("event_id", "", "event_id is '': give a string of 1 to 512 bytes"),
            ("event_id", "é" * 300, "event_id is .*: give a string of 1 to 512 bytes"),
        ],
    )
    def test_a_value_of_another_type_is_named(self, field, value, problem):
        with pytest.raises(UnusableEvent, match=problem) as error:
            Event.of({**GOOD, field: value})
        assert error.value.reason == f"unusable_{field}"

    def test_a_field_that_nobody_knows_is_named(self):
        with pytest.raises(
            UnusableEvent, match=r"'qty' is 2: give only user_id, .*event_id"
        ) as error:
            Event.of({**GOOD, "qty": 2})
        assert error.value.reason == "unknown_field"

    @pytest.mark.parametrize("value", [None, "event", [GOOD], 3])
    def test_only_an_object_is_an_event(self, value):
        with pytest.raises(UnusableEvent, match="give an object"):
            Event.of(value)

    def test_a_row_survives_being_written_and_read(self):
        event = Event.of({**GOOD, "timestamp": "2026-11-23T11:59:00.123456+02:00", "price": 10**17})
        again = Event.of(json.loads(event.row_as_json()))
        assert again.row == event.row


class TestSharedIds:
    def test_different_rows_cannot_have_one(self):
        lines = [Event.of({**GOOD, "item_id": item, "event_id": "order-1"}) for item in "ab"]
        assert shared_ids([*lines, Event.of({**GOOD, "event_id": "order-2"})]) == {"order-1"}

    def test_the_same_row_again_is_a_repetition(self):
        again = {**GOOD, "timestamp": "2026-11-23T12:59:00+01:00", "event_id": "order-1"}
        assert shared_ids([Event.of({**GOOD, "event_id": "order-1"}), Event.of(again)]) == set()

    def test_events_without_an_id_share_none(self):
        assert shared_ids([Event.of(GOOD), Event.of({**GOOD, "item_id": "soap"})]) == set()


class TestRules:
    """Those of the contract; here is only what is particular about judging one event now."""

    def test_a_good_event_breaks_none(self):
        assert reason() is None

    def test_reasons_are_those_of_quarantine(self):
        assert reason(user_id=" ", quantity=0, event="purchase") == "missing_user_id,zero_quantity"
        assert reason(event="buy") == "unknown_event"
        assert reason(price=float("nan")) == "price_not_finite"
        assert reason(timestamp=None) == "missing_timestamp"

    def test_a_clock_may_be_some_minutes_ahead(self):
        assert reason(timestamp=(NOW + timedelta(minutes=4)).isoformat()) is None
        assert reason(timestamp=(NOW + timedelta(minutes=6)).isoformat()) == "in_the_future"

    def test_also_across_midnight(self):
        midnight = NOW.replace(hour=23, minute=58)
        event = Event.of({**GOOD, "timestamp": (midnight + timedelta(minutes=4)).isoformat()})
        assert broken_rules([event], midnight) == {}

    def test_a_late_event_is_taken_as_long_as_the_contract_says(self):
        assert reason(timestamp=(NOW - timedelta(days=LATE_DAYS)).isoformat()) is None
        assert reason(timestamp=(NOW - timedelta(days=LATE_DAYS + 1)).isoformat()) == "too_late"

    def test_an_item_that_the_catalogue_lacks_is_left_to_the_ingest(self):
        assert reason(item_id="new product") is None

    def test_each_event_of_many_is_judged(self):
        good, bad = GOOD, {**GOOD, "price": float("nan")}
        events = [Event.of(one) for one in (bad, good, bad, good, {**GOOD, "price": -1.0})]
        assert broken_rules(events, NOW) == {
            0: "price_not_finite",
            2: "price_not_finite",
            4: "negative_price,discount_above_price",
        }

    def test_of_nothing_there_is_nothing_to_say(self):
        assert broken_rules([], NOW) == {}
