from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from recsys_assets.events.contract import INTERACTIONS, ITEMS, MAX_MONEY
from recsys_assets.events.ingest import record_catalogue
from recsys_assets.features.backfill import spark_url
from recsys_assets.features.declarations import ITEM_FEATURES, USER_FEATURES
from recsys_assets.storage import Store
from recsys_assets_tests.features.conftest import backfill

DAY = date(2017, 1, 1)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///my%20shop/100%25/week%231", "file:///my shop/100%/week#1"),
        ("s3://shop/a%20b", "s3a://shop/a%20b"),
    ],
)
def test_hadoop_takes_a_path_as_it_is(url, expected):
    assert spark_url(url) == expected


def write(store, rows, day=DAY):
    table = pa.Table.from_pylist(rows, schema=INTERACTIONS.schema)
    store.table("interactions").write(table, day.isoformat())


def event(user, item, **more):
    moment = datetime(DAY.year, DAY.month, DAY.day, 9, tzinfo=UTC)
    return {"user_id": user, "item_id": item, "timestamp": moment, "event": "purchase", **more}


@pytest.fixture
def store(tmp_path):
    """A shop in a folder whose name is no URL as it stands."""
    store = Store((tmp_path / "my shop %41 #1").as_uri())
    items = [{"item_id": item, "text": "", "category_l2": None} for item in ("tea", "soap")]
    record_catalogue(store, pa.Table.from_pylist(items, schema=ITEMS.schema), DAY)
    return store


def features(store, table):
    (row,) = store.table(table).read([DAY.isoformat()]).to_pylist()
    return row


@pytest.mark.integration
def test_the_most_money_that_the_contract_takes_is_summed_to_the_cent(spark, store):
    dearest = event("ann", "tea", price=MAX_MONEY, discount=0.01, quantity=1)
    write(store, [dearest | {"session_id": str(n)} for n in range(2000)])

    backfill(spark, store, [DAY.isoformat()])

    assert features(store, USER_FEATURES.name)["spend_1d"] == 2000 * (MAX_MONEY - 0.01)
    assert features(store, ITEM_FEATURES.name)["price"] == MAX_MONEY


@pytest.mark.integration
def test_a_shop_without_a_purchase_has_features_of_what_was_seen(spark, store):
    write(store, [event("ann", "tea") | {"event": "view"}])

    backfill(spark, store, [DAY.isoformat()])

    found = features(store, USER_FEATURES.name)
    assert (found["events_1d"], found["purchases_1d"], found["spend_1d"]) == (1, 0, 0.0)
    assert found["top_category_28d"] is None
    assert store.table("item_first_sold").read([DAY.isoformat()]).num_rows == 0
