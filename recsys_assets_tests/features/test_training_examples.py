"""Which examples there are; the join of features is tested in `test_assets.py`."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from recsys_assets.features.training_examples import (
    RowsLost,
    by_day,
    entities_of_days,
    example_entities,
    join_features,
    training_examples,
)
from recsys_assets.settings import Days, InvalidSetting
from recsys_assets.storage import Store
from recsys_assets_tests.features.tiny_history import FIRST_DAY, make_events, write_history

TODAY = date(2017, 2, 5)
LIVE = Days(FIRST_DAY, None, TODAY, evaluation_days=7)
RECORDED = replace(LIVE, last_day=date(2017, 12, 31))


SPLITS = ("train", "validation", "held_out")


class LosingStore:
    """A feature store whose join drops the last row, as Feast's file store does."""

    def get_historical_features(self, entity_df, features):
        self.rows = pa.Table.from_pandas(entity_df.iloc[:-1])
        return self

    def to_arrow(self):
        return self.rows


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("events").as_uri())
    write_history(store)
    return store


@pytest.fixture(scope="module")
def entities(store):
    return example_entities(store, RECORDED).to_pylist()


def test_a_lost_row_stops_everything(entities):
    with pytest.raises(RowsLost, match=r"rows in, \d+ rows out"):
        join_features(LosingStore(), pa.Table.from_pylist(entities), [])


def test_each_first_purchase_stands_once_in_order_of_time(entities):
    first = {}
    for event in sorted(make_events(), key=lambda e: e["timestamp"]):
        if event["event"] == "purchase" and event["timestamp"].date() < TODAY:
            first.setdefault((event["user_id"], event["item_id"]), event["timestamp"])

    found = {(row["user_id"], row["item_id"]): row["event_timestamp"] for row in entities}
    assert found == first
    assert len(entities) == len(first)
    assert [row["event_timestamp"] for row in entities] == sorted(first.values())


def test_the_first_purchases_of_some_days_are_those_of_all_days_on_them(store, entities):
    days = ["2017-01-10", "2017-01-11"]
    found = entities_of_days(store, FIRST_DAY, days).to_pylist()

    expected = [row for row in entities if row["event_timestamp"].date().isoformat() in days]
    assert found == [{**row, "split": "train"} for row in expected]
    assert len(found) > 1


def test_live_data_holds_its_last_days_out_and_validates_on_those_before(store, entities):
    held_out = example_entities(store, LIVE).to_pylist()

    def day_of(row):
        return row["event_timestamp"].date()

    days = {split: {day_of(r) for r in held_out if r["split"] == split} for split in SPLITS}
    assert min(days["held_out"]) >= LIVE.evaluation_from > max(days["validation"])
    assert min(days["validation"]) >= LIVE.evaluation_from - timedelta(days=7) > max(days["train"])
    assert [row | {"split": ""} for row in held_out] == [row | {"split": ""} for row in entities]


def test_a_history_too_short_to_validate_on_is_refused_before_anything_is_read(tmp_path):
    nothing = Store(tmp_path.as_uri())

    with pytest.raises(InvalidSetting, match="leaves 7 days to train on, and 8 are needed"):
        example_entities(nothing, replace(LIVE, today=FIRST_DAY + timedelta(days=14)))


def test_a_day_ends_before_the_midnight_that_begins_the_next():
    moments = [datetime(2017, 1, 10, 23, 59, 59, 999_999, UTC), datetime(2017, 1, 11, tzinfo=UTC)]
    rows = pa.table({"timestamp": pa.array(moments, pa.timestamp("us", "UTC"))})

    parts = dict(by_day(rows, ["2017-01-09", "2017-01-10", "2017-01-11"]))

    assert [part["timestamp"].to_pylist() for part in parts.values()] == [
        [],
        moments[:1],
        moments[1:],
    ]
    assert all(part.schema == rows.schema for part in parts.values())


def test_a_day_on_which_nothing_new_was_bought_has_examples_without_rows(store):
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64, String

    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    fields = [Field(name="age", dtype=String), Field(name="spend_7d", dtype=Float64)]
    source = FileSource(path="unused", timestamp_field="event_timestamp")
    view = FeatureView(name="users", entities=[user], schema=fields, source=source)

    class Registered:
        def get_feature_service(self, name):
            return FeatureService(name=name, features=[view])

    day = "2017-03-01"
    quiet = example_entities(store, RECORDED)[:0]
    examples = training_examples(Registered(), quiet)
    assert examples.column_names == [
        *("user_id", "item_id", "timestamp", "device", "split", "age", "spend_7d")
    ]
    assert examples.schema.field("spend_7d").type == pa.float64()
    assert [(of, rows.num_rows) for of, rows in by_day(examples, [day])] == [(day, 0)]
