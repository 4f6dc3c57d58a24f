from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.evaluation.split import user_columns
from recsys_assets.storage import MissingPartition, Store
from recsys_assets_tests.evaluation.tiny import TODAY, moment

FIRST = datetime(2025, 2, 27, tzinfo=UTC).date()


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path.as_uri())
    store.table("user_attributes").write(
        pa.table({"user_id": ["ann"], "event_timestamp": [moment(-3, 0)], "age": ["young"]})
    )
    rows = {-3: [("ann", 1, "tea"), ("bob", 5, None)], -2: [], -1: [("ann", 2, "soap")]}
    for day, found in rows.items():
        schema = {"user_id": pa.string(), "events_7d": pa.int64(), "top_category_7d": pa.string()}
        columns = list(zip(*found, strict=True)) or [[], [], []]
        arrays = {
            name: pa.array(values, type_)
            for (name, type_), values in zip(schema.items(), columns, strict=True)
        }
        stamp = pa.array([moment(day + 1, 0)] * len(found), pa.timestamp("us", tz="UTC"))
        store.table("user_features").write(
            pa.table({**arrays, "event_timestamp": stamp}), f"{moment(day):%Y-%m-%d}"
        )
    return store


def test_the_last_known_row_counts_and_missing_is_missing(store):
    found = user_columns(store, np.array(["bob", "ann", "eve"], dtype=object), FIRST, TODAY)

    assert found["user_id"].tolist() == ["bob", "ann", "eve"]
    assert found["age"].tolist() == ["", "young", ""]
    assert found["top_category_7d"].tolist() == ["", "soap", ""]
    np.testing.assert_array_equal(found["events_7d"], [5, 2, np.nan])
    assert found["age"].dtype == object


def test_nothing_later_than_the_release_is_seen(store):
    found = user_columns(store, np.array(["ann"], dtype=object), FIRST, moment(-1).date())

    assert found["top_category_7d"].tolist() == ["tea"]


def test_a_missing_day_is_named(store):
    with pytest.raises(MissingPartition, match="2025-02-26"):
        user_columns(store, np.array(["ann"], dtype=object), moment(-4).date(), TODAY)
