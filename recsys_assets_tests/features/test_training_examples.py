"""Which examples there are; the join of features is tested in `test_assets.py`."""

from datetime import date

import pyarrow as pa
import pytest

from recsys_assets.features.training_examples import (
    RowsLost,
    example_entities,
    join_features,
)
from recsys_assets.storage import Store
from recsys_assets_tests.features.tiny_history import FIRST_DAY, make_events, write_history

TODAY = date(2017, 2, 5)


class LosingStore:
    """A feature store whose join drops the last row, as Feast's file store does."""

    def get_historical_features(self, entity_df, features):
        self.rows = pa.Table.from_pandas(entity_df.iloc[:-1])
        return self

    def to_arrow(self):
        return self.rows


@pytest.fixture(scope="module")
def entities(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("events").as_uri())
    write_history(store)
    return example_entities(store, FIRST_DAY, TODAY).to_pylist()


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
