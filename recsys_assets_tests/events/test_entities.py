import json
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import ITEMS, PROMOTIONS, USERS, WITHDRAWN_ITEMS
from recsys_assets.events.validation import (
    clean_items,
    clean_promotions,
    clean_users,
    clean_withdrawn,
    digest,
)


def items(**columns):
    return ITEMS.conform(pa.table(columns), "items.parquet")


def test_an_id_that_comes_twice_keeps_its_first_row():
    good, bad = clean_items(items(item_id=["a", "b", "a"], text=["A", "B", "other"]))

    assert good.column("text").to_pylist() == ["A", "B"]
    assert bad.column("reason").to_pylist() == ["duplicate_item_id"]
    assert json.loads(bad.column("row")[0].as_py())["text"] == "other"


def test_identical_repetitions_are_one_item():
    good, bad = clean_items(items(item_id=["a", "a"], text=["A", "A"]))

    assert (good.num_rows, bad.num_rows) == (1, 0)


def test_items_without_a_usable_id_or_price_are_quarantined():
    good, bad = clean_items(
        items(
            item_id=[None, "", "x" * 4096, "a\0", "dear", "dearer", "ok"],
            text=["1", "2", "3", "4", "5", "6", "7"],
            price=[1.0, 1.0, 1.0, 1.0, -1.0, 1e300, None],
        )
    )

    assert good.column("item_id").to_pylist() == ["ok"]
    assert bad.column("reason").to_pylist() == [
        "missing_item_id",
        "missing_item_id",
        "item_id_too_long",
        "item_id_holds_nul",
        "negative_price",
        "price_too_large",
    ]


def test_a_missing_text_is_empty_and_extra_columns_keep_their_type():
    good, _ = clean_items(items(item_id=["a"], text=pa.array([None], pa.string()), weight=[3]))

    assert good.column("text").to_pylist() == [""]
    assert good.column("weight").to_pylist() == [3]
    assert good.schema.names == [*ITEMS.names, "weight"]


def test_a_withdrawn_item_needs_no_more_than_an_id_of_its_own():
    delivered = pa.table({"item_id": ["gone", None, "gone", "a\0"], "brand": ["X", "Y", "Z", "X"]})

    good, bad = clean_withdrawn(WITHDRAWN_ITEMS.conform(delivered, "withdrawn_items.parquet"))

    assert good.select(["item_id", "brand", "category_l1"]).to_pylist() == [
        {"item_id": "gone", "brand": "X", "category_l1": None}
    ]
    assert bad["reason"].to_pylist() == [
        "missing_item_id",
        "duplicate_item_id",
        "item_id_holds_nul",
    ]


def test_users_keep_their_attributes():
    delivered = pa.table({"user_id": ["ann", None, "bob"], "age": ["30s", "20s", None]})

    good, bad = clean_users(USERS.conform(delivered, "users.parquet"))

    assert good.to_pylist() == [{"user_id": "ann", "age": "30s"}, {"user_id": "bob", "age": None}]
    assert bad.column("reason").to_pylist() == ["missing_user_id"]


def test_promotions_must_end_after_they_start_and_be_shares_of_known_items():
    start, end = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 8, tzinfo=UTC)
    rows = [
        {"item_id": "a", "valid_from": start, "valid_to": end, "display": 0.5, "mailer": 0.0},
        {"item_id": "a", "valid_from": end, "valid_to": start, "display": 0.5, "mailer": 0.0},
        {"item_id": "a", "valid_from": start, "valid_to": end, "display": 50.0, "mailer": 0.0},
        {"item_id": "b", "valid_from": start, "valid_to": end, "display": 0.5, "mailer": 0.0},
        {"item_id": "a", "valid_from": start, "valid_to": None, "display": 0.5, "mailer": 0.0},
    ]

    good, bad = clean_promotions(
        pa.Table.from_pylist(rows, schema=PROMOTIONS.schema), pl.Series(["a"])
    )

    assert good.num_rows == 1
    assert bad.column("reason").to_pylist() == [
        "ends_before_it_starts",
        "display_not_a_share",
        "unknown_item",
        "missing_time",
    ]


def test_the_digest_names_the_rows_and_not_how_they_lie_in_memory():
    whole = pa.table({"item_id": ["a", "b", None]})
    in_parts = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])

    assert digest(whole) == digest(in_parts)
    assert digest(whole) != digest(whole.slice(0, 2))


def test_a_shops_own_column_may_be_called_like_ours():
    delivered = pa.table({"user_id": ["ann", None], "reason": ["gift", "work"], "id": ["1", "2"]})

    good, bad = clean_users(USERS.conform(delivered, "users.parquet"))

    assert good.to_pylist() == [{"user_id": "ann", "reason": "gift", "id": "1"}]
    assert bad.column("reason").to_pylist() == ["missing_user_id"]
    assert json.loads(bad.column("row")[0].as_py())["reason"] == "work"
