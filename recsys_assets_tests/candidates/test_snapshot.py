import numpy as np
import pytest

from recsys_assets.candidates.snapshot import PairCounts
from recsys_assets_tests.candidates.tiny import ITEMS, row, snapshot

LINES = (
    ("al", "milk", 1, "s1", 1.0, 0.5),
    ("al", "milk", 20, "s1", 4.0, 0.0),
    ("al", "pear", 29, "s2", 2.0, 0.0),
    ("bo", "milk", 29, "s2", 1.0, 0.0),
    ("bo", "apple", 30, "s2", 9.0, 9.0),
)


def by_item(values):
    return dict(zip(ITEMS, values.tolist(), strict=True))


def test_a_day_knows_nothing_of_itself_or_of_later_days():
    known = snapshot(30, *LINES)

    assert known.lines == 4
    assert known.bought[:, row("apple")].sum() == 0
    assert known.bought.toarray().max() == 1


def test_who_buys_for_the_first_time_later_is_unknown():
    rows = (("al", "milk", 1), ("bo", "milk", 5))

    assert snapshot(5, *rows).rows_of(["bo", "al", "nobody"]).tolist() == [-1, 0, -1]
    assert snapshot(6, *rows).rows_of(["bo", "al", "nobody"]).tolist() == [1, 0, -1]
    assert snapshot(6).rows_of(["al"]).tolist() == [-1]


@pytest.mark.parametrize(("days", "milk"), [(1, 1), (9, 1), (10, 2), (28, 2), (29, 3)])
def test_a_window_of_days_ends_on_the_day_before(days, milk):
    known = snapshot(30, *LINES)

    assert by_item(known.sales(days))["milk"] == milk


def test_first_sales_count_each_pair_once():
    known = snapshot(30, *LINES)

    assert by_item(known.first_sales(28))["milk"] == 1  # that of bo; al's first was earlier
    assert by_item(known.first_sales(29))["milk"] == 2


def test_the_main_store_is_where_most_lines_were_bought():
    known = snapshot(31, *LINES)

    assert known.main_store.tolist() == [0, 1]


def test_without_a_store_none_is_the_main_one():
    known = snapshot(5, ("al", "milk", 1))

    assert known.main_store.tolist() == [-1]
    assert known.store_sales(28).at(np.array([0, -1]), np.array([2, 2])).tolist() == [0, 0]


def test_prices_and_days_since_a_sale():
    known = snapshot(30, *LINES)

    assert by_item(known.item_log_price)["milk"] == pytest.approx(np.log(4) / 3)
    assert by_item(known.days_since_first_sale)["milk"] == 29
    assert by_item(known.days_since_last_sale)["milk"] == 1
    assert by_item(known.days_since_last_sale)["soy milk"] == np.inf
    assert np.isnan(by_item(known.item_log_price)["soy milk"])
    np.testing.assert_allclose(known.mean_of_users(known.discount), [0.5 / 3, 0])


def test_pairs_are_counted_and_unknown_rows_nowhere():
    counts = PairCounts.of(np.array([1, 1, -1, 0]), np.array([2, 2, 2, 0]), 3)

    assert counts.at(np.array([1, 0, 0, -1]), np.array([2, 0, 2, 2])).tolist() == [2, 1, 0, 0]
    assert counts.places(np.array([1, 0, -1]), np.array([2, 2, 2])).tolist() == [1, -1, -1]
    assert counts.dense(np.array([0, 1])).tolist() == [[1, 0, 0], [0, 0, 2]]


def test_no_pairs_at_all_count_nothing():
    counts = PairCounts.of(np.zeros(0, int), np.zeros(0, int), 3)

    assert counts.at(np.array([0]), np.array([2])).tolist() == [0]
    assert counts.dense(np.array([0])).tolist() == [[0, 0, 0]]
