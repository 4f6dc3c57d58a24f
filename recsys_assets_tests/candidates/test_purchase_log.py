import numpy as np
import pyarrow as pa

from recsys_assets.candidates.purchase_log import PurchaseLog
from recsys_assets_tests.candidates.tiny import (
    ATTRIBUTES,
    DAY_0,
    ITEMS,
    items,
    lines,
    purchase_log,
    row,
)


def test_lines_are_codes_in_the_order_of_time():
    log = purchase_log(
        ("bo", "milk", 3, "s2", 2.0, 0.5),
        ("al", "pear", 1, "s1", 4.0, None),
        ("bo", "milk", 2, None, None, None),
    )

    assert log.user_ids.tolist() == ["al", "bo"]
    assert log.item_ids.tolist() == ITEMS
    assert log.user.tolist() == [0, 1, 1]
    assert log.item.tolist() == [row("pear"), row("milk"), row("milk")]
    assert (log.day - DAY_0).tolist() == [1, 2, 3]
    assert log.store.tolist() == [0, -1, 1]
    assert log.stores == 2
    np.testing.assert_allclose(log.log_price, [np.log(4), np.nan, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(log.discount, [0, 0, 0.25])
    assert log.first.tolist() == [True, True, False]


def test_only_purchases_of_the_catalogue_count():
    log = purchase_log(
        ("al", "milk", 1, None, None, None, "view"),
        ("al", "withdrawn", 1),
        ("al", "pear", 2),
    )

    assert log.item.tolist() == [row("pear")]


def test_a_shop_without_a_purchase_has_an_empty_log():
    assert len(purchase_log()) == 0


def test_an_attribute_that_is_missing_has_the_code_0():
    log = purchase_log(("al", "milk", 1))

    assert log.attributes["category_l3"][row("never sold")] == 0
    assert (
        log.attributes["category_l3"][row("milk")] == log.attributes["category_l3"][row("soy milk")]
    )


def test_a_price_of_nothing_is_no_price_and_a_discount_is_at_most_the_price():
    log = purchase_log(("al", "milk", 1, None, 0.0, 0.0), ("al", "milk", 2, None, 2.0, 3.0))

    assert np.isnan(log.log_price[0])
    assert log.discount.tolist() == [0, 1]


def test_names_that_differ_only_after_a_nul_are_two():
    table = lines(("al", "milk", 1), ("al\0", "milk", 1))

    log = PurchaseLog.from_tables(table, items(), ATTRIBUTES)

    assert len(log.user_ids) == 2


def test_events_may_come_in_several_chunks():
    table = pa.concat_tables([lines(("bo", "milk", 2)), lines(("al", "pear", 1))])

    assert PurchaseLog.from_tables(table, items(), ATTRIBUTES).user.tolist() == [0, 1]
