"""Sessions as the online store would have served them."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.events.contract import INTERACTIONS
from recsys_assets.features.backfill import snapshot_schema
from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.monitoring.sessions import purchased_before, sessions_of, to_sessions
from recsys_assets.storage import MissingPartition, Store

DAY, NEXT = "2025-03-03", "2025-03-04"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def event(user, item, when, session="s", device="web", kind="purchase"):
    return {
        "user_id": user,
        "item_id": item,
        "timestamp": moment(when),
        "event": kind,
        "session_id": session,
        "device": device,
    }


def snapshot(user, when, spend, store=None):
    return {
        "user_id": user,
        "event_timestamp": moment(when),
        "spend_28d": spend,
        "purchases_28d": 3,
        "top_store_28d": store,
    }


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path.as_uri())
    days = {
        DAY: [
            event("ann", "tea", "2025-03-03 09:00:00.5"),
            event("ann", "jam", "2025-03-03 09:00:07", device="mobile"),
            event("bob", "tea", "2025-03-03 08:00:00", session=None),
            event("bob", "pen", "2025-03-03 20:00:00", session=None),
            event("bob", "cup", "2025-03-03 21:00:00", session=None, device=None, kind="view"),
        ],
        NEXT: [event("ann", "cup", "2025-03-04 00:00:00"), event("eve", "tea", "2025-03-04 10:00")],
    }
    for day, rows in days.items():
        table = pa.Table.from_pylist(rows, schema=INTERACTIONS.schema)
        store.table("interactions").write(table, day)
    features = {
        "2025-02-20": [
            snapshot("ann", "2025-02-21", 5.0, "12"),
            snapshot("bob", "2025-02-21", 7.0),
        ],
        "2025-03-02": [snapshot("ann", "2025-03-03", 9.0)],
        DAY: [snapshot("ann", "2025-03-04", 11.0)],
        NEXT: [snapshot("eve", "2025-03-05", 99.0)],
    }
    for day, rows in features.items():
        table = pa.Table.from_pylist(rows, schema=snapshot_schema(USER_FEATURES))
        store.table("user_features").write(table, day)
    ages = pa.table({"user_id": ["ann"], "age": ["old"]})
    store.table("users").write(ages)
    valid = pa.array([moment("2025-01-01")], pa.timestamp("us", "UTC"))
    store.table("user_attributes").write(ages.append_column("event_timestamp", valid))
    return store


def test_a_session_begins_with_its_first_event(store):
    sessions = sessions_of(store, [DAY])
    assert sessions.select("user_id", "device").rows() == [
        ("bob", "web"),
        ("ann", "web"),
        ("bob", ""),
    ]
    assert sessions["timestamp"][1] == moment("2025-03-03 09:00:00.5")


def test_events_without_a_session_are_one_per_user_device_and_day(store):
    names = sessions_of(store, [DAY])["session_id"].to_list()
    assert names == ["bob@1740988800", "s", "bob@1741035600"]


def test_features_are_those_known_at_midnight(store):
    both = sessions_of(store, [DAY, NEXT])
    spend = dict(zip(both["session_id"] + both["user_id"], both["spend_28d"], strict=True))
    assert spend["bob@1740988800bob"] == 7.0  # nothing newer than two weeks ago
    assert both.filter(user_id="ann")["spend_28d"].to_list() == [9.0, 11.0]
    assert both.filter(user_id="eve")["spend_28d"].to_list() == [None]


def test_a_newer_row_replaces_an_older_one_as_a_whole(store):
    ann = sessions_of(store, [DAY]).filter(user_id="ann")
    assert ann["top_store_28d"].to_list() == [None]


def test_attributes_of_users_that_have_none_are_missing(store):
    assert sessions_of(store, [DAY])["age"].to_list() == [None, "old", None]


def test_features_are_texts_and_floating_point_numbers(store):
    sessions = sessions_of(store, [DAY])
    kinds = {str(sessions.schema[name]) for name in ("age", *USER_FEATURES.columns)}
    assert kinds == {"String", "Float64"}


def test_requests_have_whole_seconds_and_no_nulls(store):
    requests = to_sessions(sessions_of(store, [DAY]))
    assert requests.timestamp.tolist() == [1740988800, 1740992400, 1741035600]
    assert requests.columns["age"].tolist() == ["", "old", ""]
    np.testing.assert_array_equal(requests.columns["spend_28d"], [7.0, 9.0, 7.0])
    assert np.isnan(requests.columns["events_1d"]).all()


def test_the_first_day_of_all_has_no_features(tmp_path, store):
    first = Store((tmp_path / "first").as_uri())
    for table in ("users", "user_attributes"):
        first.table(table).write(store.table(table).read())
    first.table("interactions").write(store.table("interactions").read([DAY]), DAY)
    assert sessions_of(first, [DAY])["spend_28d"].to_list() == [None] * 3


def test_a_missing_day_is_named(store):
    with pytest.raises(MissingPartition, match="2025-03-09"):
        sessions_of(store, ["2025-03-09"])


def test_purchases_before_a_day_do_not_hold_that_day(store):
    assert purchased_before(store, NEXT) == {"ann": {"tea", "jam"}, "bob": {"tea", "pen"}}
