import sys
import threading

import numpy as np
import pytest

from recsys_assets.pipeline.available_items import AsReleased, AvailableItems

IDS = ["tea", "soap", "milk", "Öl"]


@pytest.fixture
def items():
    return AvailableItems(IDS)


def off_sale(items):
    rows = np.arange(len(IDS))
    return [IDS[row] for row in rows[~items.on_sale(rows)]]


def test_all_are_on_sale_to_begin_with(items):
    assert off_sale(items) == []
    assert AsReleased().on_sale(np.arange(3)).tolist() == [True] * 3


def test_rows_are_answered_in_their_order(items):
    items.change({"soap": False})
    assert items.on_sale(np.array([2, 1, 1, 0])).tolist() == [True, False, False, True]
    assert items.on_sale(np.empty(0, np.int64)).tolist() == []


@pytest.mark.parametrize("item_id", IDS)
def test_each_item_goes_and_comes_back_by_itself(items, item_id):
    items.change({item_id: False})
    assert off_sale(items) == [item_id]
    assert items.count_off_sale() == 1
    items.change({item_id: True})
    assert off_sale(items) == []


def test_items_that_the_release_does_not_hold_are_passed_over(items):
    items.change({"": False, "salt": False, "zz": False, "tea": False})
    assert off_sale(items) == ["tea"]
    items.replace(["salt", "milk"])
    assert off_sale(items) == ["milk"]


def test_a_replacement_forgets_what_was_before(items):
    items.change({"tea": False, "milk": False})
    items.replace(iter(["soap"]))
    assert off_sale(items) == ["soap"]


def test_a_release_without_items(items):
    empty = AvailableItems([])
    empty.change({"tea": False})
    empty.replace(["tea"])
    assert empty.count_off_sale() == 0


def test_who_looks_sees_all_of_a_change_or_nothing():
    ids = [str(row) for row in range(5000)]
    items, rows = AvailableItems(ids), np.arange(5000)
    seen, over = set(), threading.Event()

    def look():
        while not over.is_set():
            seen.add(int(items.on_sale(rows).sum()))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    looking = threading.Thread(target=look)
    looking.start()
    try:
        for number in range(30):
            items.change(dict.fromkeys(ids, number % 2 == 1))
    finally:
        over.set()
        looking.join()
        sys.setswitchinterval(interval)
    assert seen <= {0, 5000}
