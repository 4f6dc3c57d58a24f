import numpy as np
import pytest

from recsys_assets.models.examples import Examples
from recsys_assets.models.validation import ValidationWeek

ITEMS = 5
# Nearest first to a query (1, 0): items 0, 1, 2, 3, 4; to (0, 1) the other way round.
VECTORS = np.stack([np.arange(ITEMS, 0, -1), np.arange(ITEMS)], axis=1).astype(np.float32)


def examples(*rows):
    """Of (user, item, timestamp, whether it is of the validation week)."""
    users, items, times, validation = zip(*rows, strict=True)
    return Examples(
        {"user_id": np.array(users, dtype=object)},
        np.array(items),
        np.array(times),
        np.array(validation),
    )


def test_a_household_asks_once_when_it_first_buys_something_new():
    week = ValidationWeek.of(
        examples(("bob", 1, 30, True), ("ann", 2, 20, True), ("ann", 3, 10, True)), ITEMS
    )

    assert week.requests.user["user_id"].tolist() == ["ann", "bob"]
    assert week.requests.timestamp.tolist() == [10, 30]
    assert week.relevant.toarray().tolist() == [[0, 0, 1, 1, 0], [0, 1, 0, 0, 0]]


def test_what_was_bought_before_is_not_ranked_and_others_history_does_not_count():
    week = ValidationWeek.of(
        examples(
            ("ann", 0, 1, False), ("ann", 0, 2, False), ("carl", 1, 1, False), ("ann", 2, 9, True)
        ),
        ITEMS,
    )

    assert week.seen.toarray().tolist() == [[1, 0, 0, 0, 0]]
    figures = week.metrics(np.array([[1, 0]], dtype=np.float32), VECTORS)
    assert figures["ndcg_at_10"] == pytest.approx(1 / np.log2(3))  # behind item 1 alone


def test_metrics_are_means_over_households():
    bought = [("ann", item, 5, True) for item in (0, 1)] + [("bob", 0, 5, True)]
    week = ValidationWeek.of(examples(*bought), ITEMS)

    figures = week.metrics(np.array([[1, 0], [0, 1]], dtype=np.float32), VECTORS)

    assert figures == {
        "recall_at_10": 1,
        "recall_at_100": 1,
        "recall_at_300": 1,
        "ndcg_at_10": pytest.approx((1 + 1 / np.log2(6)) / 2),
    }
