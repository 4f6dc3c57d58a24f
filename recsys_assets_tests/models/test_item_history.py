from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.features.declarations import ITEM_FEATURES
from recsys_assets.models.item_history import Changes, ItemHistory, midnight_after, promotions_at


def moment(day):
    return datetime(2025, 1, day, tzinfo=UTC)


@pytest.fixture
def history():
    items = pa.table(
        {"item_id": ["b", "a", "new"], "text": ["", "", ""], "brand": ["x", None, "x"]}
    )
    changes = [("a", 3, 30.0), ("b", 2, 2.0), ("a", 1, 10.0), ("gone", 1, 9.0), ("b", 5, None)]
    columns = {
        name: pa.nulls(len(changes), pa.int64() if dtype == "int64" else pa.float64())
        for name, dtype in ITEM_FEATURES.columns.items()
    }
    rows = pa.table(
        {
            "item_id": [item for item, _, _ in changes],
            "event_timestamp": pa.array(
                [moment(day) for _, day, _ in changes], pa.timestamp("us", tz="UTC")
            ),
            **columns,
            "price": [price for _, _, price in changes],
        }
    )
    return ItemHistory.from_tables(items, rows, promotions(), catalogued())


def catalogued():
    """Every item, and one that is withdrawn, which changed its brand before."""
    seen = [("a", 1, None), ("b", 1, "x"), ("gone", 1, "old"), ("gone", 2, "z"), ("new", 3, "x")]
    return pa.table(
        {
            "item_id": [item for item, _, _ in seen],
            "seen_from": [moment(day).date() for _, day, _ in seen],
            "category_l2": ["tea"] * len(seen),
            "brand": [brand for _, _, brand in seen],
        }
    )


def promotions():
    """Item `a` on display from the 9th to the 16th."""
    return pa.table(
        {
            "item_id": ["a", "a"],
            "event_timestamp": pa.array([moment(9), moment(16)], pa.timestamp("us", tz="UTC")),
            "display": [0.5, 0.0],
            "mailer": [0.0, 0.0],
        }
    )


def prices(history, items, days):
    rows = np.array([history.item_ids.tolist().index(item) for item in items])
    moments = np.array([int(moment(day).timestamp()) for day in days])
    return history.activity_at(rows, moments)["price"]


def test_the_last_change_not_after_the_moment_counts(history):
    found = prices(history, ["a", "a", "a", "b"], [1, 2, 3, 4])

    assert found.tolist() == [10.0, 10.0, 30.0, 2.0]


def test_nothing_is_known_before_the_first_change(history):
    assert np.isnan(prices(history, ["b", "new"], [1, 9])).all()


def test_a_change_to_null_is_a_change(history):
    assert np.isnan(prices(history, ["b"], [5])).all()


def test_a_snapshot_has_every_item_in_catalogue_order(history):
    snapshot = history.snapshot(midnight_after("2025-01-02"))

    assert snapshot["item_id"].tolist() == ["b", "a", "new"]
    assert snapshot["brand"].tolist() == ["x", "", "x"]
    assert snapshot["price"].tolist()[:2] == [2.0, 30.0]


def displays(found, item, days):
    moments = np.array([int(moment(day).timestamp()) for day in days])
    values = promotions_at(found, np.full(len(days), item), moments)
    return values["display"].tolist(), values["display_last_week"].tolist()


def test_promotions_are_those_of_the_moment_and_of_the_week_before(history):
    now, before = displays(history.promotions, 1, [8, 9, 15, 16, 22, 23])

    assert now == [0, 0.5, 0.5, 0, 0, 0]
    assert before == [0, 0, 0, 0.5, 0.5, 0]


def test_an_item_without_promotions_is_not_promoted(history):
    assert displays(history.promotions, 2, [9]) == ([0], [0])


def test_a_span_of_changes_answers_for_its_moments_as_all_do(history):
    first, last = (int(moment(day).timestamp()) for day in (2, 4))
    some = history.activity.between(first, last)
    rows = np.repeat(np.arange(3), 3)
    moments = np.tile([first, first + 3600, last], 3)

    assert len(some.keys) < len(history.activity.keys)
    assert np.array_equal(
        some.at(rows, moments)["price"], history.activity.at(rows, moments)["price"], equal_nan=True
    )


def test_items_in_another_order_keep_their_changes(history):
    order = np.array([2, 1, 0])
    moments = np.full(3, int(moment(4).timestamp()))

    found = history.activity.reordered(order).at(np.arange(3), moments)["price"]

    expected = history.activity.at(order, moments)["price"]
    assert np.array_equal(found, expected, equal_nan=True)


def test_changes_are_read_back(history, tmp_path):
    history.promotions.save(tmp_path / "promotions.npz")

    found = Changes.load(tmp_path / "promotions.npz")

    assert np.array_equal(found.keys, history.promotions.keys)
    assert np.array_equal(found.columns["display"], history.promotions.columns["display"])


def test_a_withdrawn_item_is_known_as_it_was_seen_last(history):
    assert history.withdrawn["item_id"].tolist() == ["gone"]
    assert history.ever_catalogued["item_id"].tolist() == ["b", "a", "new", "gone"]
    assert history.ever_catalogued["brand"].tolist() == ["x", "", "x", "z"]
    assert "gone" not in history.item_ids


def test_without_a_history_of_the_catalogue_nothing_was_withdrawn(history):
    items = pa.table({"item_id": ["a"], "brand": ["x"]})
    rows = pa.table(
        {
            "item_id": pa.array([], pa.string()),
            "event_timestamp": pa.array([], pa.timestamp("us", tz="UTC")),
            **{name: pa.array([], pa.float64()) for name in ITEM_FEATURES.columns},
        }
    )

    found = ItemHistory.from_tables(items, rows, promotions())

    assert found.ever_catalogued["item_id"].tolist() == ["a"]
