import polars as pl
import pyarrow as pa
import pytest

from recsys_assets.events.purchases import paid, purchased_items, purchased_on
from recsys_assets.storage import MissingPartition, Store

DAYS = {
    "2017-10-01": [("ann", "milk", "purchase"), ("ann", "tea", "view"), ("bob", "tea", "purchase")],
    "2017-10-02": [("ann", "milk", "purchase"), ("ann", "bread", "purchase")],
    "2017-10-03": [("bob", "soap", "purchase")],
}


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path.as_uri())
    for day, rows in DAYS.items():
        columns = dict(zip(("user_id", "item_id", "event"), zip(*rows, strict=True), strict=True))
        store.table("interactions").write(pa.table(columns), day)
    return store


def in_order(bought):
    return {user: sorted(items) for user, items in bought.items()}


def test_only_purchases_of_the_days_count_and_each_item_once(store):
    bought = purchased_on(store, ["2017-10-01", "2017-10-02"])

    assert in_order(bought) == {"ann": ["bread", "milk"], "bob": ["tea"]}


def test_what_was_paid_needs_a_price_and_no_more():
    lines = pl.DataFrame(
        {
            "quantity": [3, None, 2],
            "price": [5.0, 4.0, None],
            "discount": [1.0, None, 1.0],
        }
    )

    assert lines.select(paid())["quantity"].to_list() == [12.0, 4.0, None]


def test_history_ends_with_its_last_day(store):
    assert in_order(purchased_items(store, "2017-10-02")) == {
        "ann": ["bread", "milk"],
        "bob": ["tea"],
    }
    assert purchased_items(store, "2017-09-30") == {}


def test_no_days_no_purchases(store):
    assert purchased_on(store, []) == {}


def test_a_day_that_is_not_there_is_no_day_without_purchases(store):
    with pytest.raises(MissingPartition, match="2017-10-09"):
        purchased_on(store, ["2017-10-01", "2017-10-09"])
