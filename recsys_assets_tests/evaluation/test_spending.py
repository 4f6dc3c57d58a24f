from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.evaluation.spending import spending
from recsys_assets_tests.evaluation.tiny import TODAY, moment, random_split

SPLIT = random_split(0)
NOTHING = {"quantity": None, "price": None, "discount": None}


def lines(*rows):
    """Purchases of user, item, moment and what was paid."""
    schema = pa.schema(
        [
            ("user_id", pa.string()),
            ("item_id", pa.string()),
            ("timestamp", pa.timestamp("us", tz="UTC")),
            ("event", pa.string()),
            ("quantity", pa.int64()),
            ("price", pa.float64()),
            ("discount", pa.float64()),
        ]
    )
    return pa.Table.from_pylist(
        [
            {"user_id": user, "item_id": item, "timestamp": when, "event": "purchase"}
            | NOTHING
            | paid
            for user, item, when, paid in rows
        ],
        schema=schema,
    )


def test_what_is_paid_is_price_less_discount_times_units_over_all_lines():
    found = spending(
        lines(
            ("u001", "i3", moment(0), {"price": 5.0, "discount": 1.0, "quantity": 3}),
            ("u001", "i3", moment(6), {"price": 2.0}),
            ("u002", "i0", moment(1), {"price": 7.0, "quantity": 1}),
        ),
        SPLIT,
        TODAY,
        days=7,
    )

    assert found.shape == SPLIT.requests.relevant.shape
    expected = np.zeros(found.shape)
    expected[1, 3], expected[2, 0] = 4 * 3 + 2, 7
    np.testing.assert_array_equal(found.toarray(), expected)


@pytest.mark.parametrize(
    "row",
    [
        ("u001", "i3", moment(0), {"quantity": 2}),
        ("u001", "i3", moment(0), {"price": float("nan")}),
        ("u001", "i3", moment(0) - timedelta(days=1), {"price": 1.0}),
        ("u001", "i3", moment(7), {"price": 1.0}),
        ("nobody", "i3", moment(0), {"price": 1.0}),
        ("u001", "withdrawn", moment(0), {"price": 1.0}),
    ],
    ids=["no price", "not a number", "before", "after", "does not ask", "not in the catalogue"],
)
def test_what_is_not_of_the_evaluated_days_or_has_no_price_is_left_out(row):
    assert spending(lines(row), SPLIT, TODAY, days=7).nnz == 0


def test_looking_at_an_item_is_not_paying_for_it():
    table = lines(("u001", "i3", moment(0), {"price": 1.0}))
    table = table.set_column(3, "event", pa.array(["view"]))

    assert spending(table, SPLIT, TODAY, days=7).nnz == 0
