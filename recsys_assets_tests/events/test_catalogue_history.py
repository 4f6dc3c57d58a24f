from datetime import date, timedelta

import pyarrow as pa
import pytest

from recsys_assets.events.contract import CATALOGUE_HISTORY
from recsys_assets.events.ingest import known_items, last_seen, record_catalogue
from recsys_assets.storage import MissingPartition, Store

DAY = date(2025, 3, 1)
LATER = DAY + timedelta(days=1)


def catalogue(price=1.0, **category_by_item):
    return pa.table(
        {
            "item_id": list(category_by_item),
            "category_l2": pa.array(category_by_item.values(), pa.string()),
            "price": [price] * len(category_by_item),
        }
    )


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path.as_uri())


def rows(store):
    table = store.table(CATALOGUE_HISTORY.table).read()
    return table.select(["item_id", "seen_from", "category_l2"]).to_pylist()


def row(item, day, category):
    return {"item_id": item, "seen_from": day, "category_l2": category}


def test_the_first_catalogue_is_all_there_is(store):
    history = record_catalogue(store, catalogue(a="tea", b=None), DAY)

    assert history.schema == CATALOGUE_HISTORY.schema
    assert rows(store) == [row("a", DAY, "tea"), row("b", DAY, None)]


def test_a_new_item_is_added_and_a_withdrawn_one_stays(store):
    record_catalogue(store, catalogue(a="tea"), DAY)
    record_catalogue(store, catalogue(b="bread"), LATER)

    assert known_items(store).sort().to_list() == ["a", "b"]
    assert rows(store) == [row("a", DAY, "tea"), row("b", LATER, "bread")]


def test_another_category_counts_from_the_day_on_which_it_was_seen(store):
    record_catalogue(store, catalogue(a="tea"), DAY)
    record_catalogue(store, catalogue(a="coffee"), LATER)

    assert rows(store) == [row("a", DAY, "tea"), row("a", LATER, "coffee")]
    assert last_seen(store, ["category_l2"]).to_dicts() == [
        {"item_id": "a", "category_l2": "coffee"}
    ]


@pytest.mark.parametrize("day", [DAY, LATER])
def test_the_same_catalogue_again_adds_nothing_and_neither_does_another_price(store, day):
    record_catalogue(store, catalogue(a="tea", b=None), DAY)
    record_catalogue(store, catalogue(a="tea", b=None, price=2.0), day)

    assert len(rows(store)) == 2


def test_of_several_changes_on_a_day_the_last_counts(store):
    record_catalogue(store, catalogue(a="tea"), DAY)
    for category in ("coffee", "cocoa"):
        record_catalogue(store, catalogue(a=category), LATER)

    assert rows(store) == [row("a", DAY, "tea"), row("a", LATER, "cocoa")]


def test_a_history_begins_with_the_catalogue_that_is_there(store):
    store.table("items").write(catalogue(withdrawn="tea"))
    record_catalogue(store, catalogue(a="tea"), DAY)

    assert known_items(store).sort().to_list() == ["a", "withdrawn"]


def test_products_withdrawn_before_the_first_catalogue_are_known_too(store):
    gone = pa.table({"item_id": ["gone"], "category_l2": ["tea"]})
    for _ in range(2):
        record_catalogue(store, catalogue(a="tea"), DAY, gone)

    assert rows(store) == [row("a", DAY, "tea"), row("gone", DAY, "tea")]


def test_of_a_product_that_the_catalogue_holds_or_held_the_catalogue_counts(store):
    both = pa.table({"item_id": ["a", "b"], "category_l2": ["other", "other"]})
    record_catalogue(store, catalogue(a="tea"), DAY)
    record_catalogue(store, catalogue(b="bread"), LATER, both)

    assert rows(store) == [row("a", DAY, "tea"), row("b", LATER, "bread")]


def test_without_a_catalogue_nothing_is_known(store):
    with pytest.raises(MissingPartition, match="catalogue_history"):
        known_items(store)
