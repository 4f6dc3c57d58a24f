from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from recsys_assets.evaluation.split import NothingToEvaluate, load_split, split_by_time
from recsys_assets.settings import Days
from recsys_assets.storage import MissingPartition, Store
from recsys_assets_tests.evaluation.tiny import TODAY, events, moment, write_days

ITEMS = ["tea", "bread", "cheese", "soap", "toy"]
DAYS = Days(date(2025, 1, 21), date(2025, 3, 9), TODAY, evaluation_days=7)


def split(*rows, days=7, repeats=False):
    return split_by_time(events(*rows), ITEMS, TODAY, days, repeats=repeats)


def dense(sparse_matrix):
    return sparse_matrix.toarray().astype(int).tolist()


EXAMPLE = (
    ("ann", "tea", moment(-40)),
    ("ann", "tea", moment(-3)),
    ("ann", "bread", moment(-2)),
    ("bob", "bread", moment(-1)),
    ("ann", "cheese", moment(-1), "view", None),
    ("ann", "soap", moment(0, 9), "view", "mobile"),
    ("ann", "tea", moment(1)),  # bought before: not a first purchase
    ("ann", "cheese", moment(2), "purchase", "web"),
    ("ann", "cheese", moment(3)),  # again: counts once
    ("bob", "bread", moment(2)),  # nothing new: makes no request
    ("cyd", "tea", moment(6, 23)),  # nobody has seen cyd before
    ("ann", "toy", moment(7, 0)),  # the day after the last
)


def test_relevant_is_what_was_bought_first_in_the_week():
    found = split(*EXAMPLE)

    assert found.requests.user_id.tolist() == ["ann", "cyd"]
    assert dense(found.requests.relevant) == [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]
    assert dense(found.requests.seen) == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_with_repeats_what_was_bought_before_is_relevant_and_nothing_is_left_out():
    found = split(*EXAMPLE, repeats=True)

    assert found.requests.user_id.tolist() == ["ann", "bob", "cyd"]
    assert dense(found.requests.relevant)[:2] == [[1, 0, 1, 0, 0], [0, 1, 0, 0, 0]]
    assert found.excluded.nnz == 0
    assert dense(split(*EXAMPLE).excluded) == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_a_request_is_made_at_the_first_event_of_the_week():
    found = split(*EXAMPLE).requests

    assert found.timestamp.tolist() == [moment(0, 9).timestamp(), moment(6, 23).timestamp()]
    assert found.device.tolist() == ["mobile", ""]


def test_history_is_purchases_before_today():
    found = split(*EXAMPLE)

    assert dense(found.history) == [[1, 1, 0, 0, 0], [0, 1, 0, 0, 0]]
    assert found.history_row.tolist() == [0, -1]
    assert found.purchases.tolist() == [2, 2, 0, 0, 0]
    assert found.purchases_recent.tolist() == [1, 2, 0, 0, 0]


def test_order_of_events_does_not_matter():
    forwards, backwards = split(*EXAMPLE), split(*EXAMPLE[::-1])

    assert dense(forwards.requests.relevant) == dense(backwards.requests.relevant)
    assert forwards.requests.timestamp.tolist() == backwards.requests.timestamp.tolist()


def test_midnight_belongs_to_the_new_day():
    found = split(("ann", "tea", moment(-1)), ("bob", "tea", moment(0, 0)))

    assert found.requests.user_id.tolist() == ["bob"]
    assert found.history.shape[0] == 1


def test_items_outside_the_catalogue_are_counted():
    found = split(*EXAMPLE, ("bob", "ghost", moment(1)), ("bob", "spectre", moment(1)))

    assert found.outside_catalogue == 2
    assert found.requests.user_id.tolist() == ["ann", "cyd"]


def test_no_history_is_an_error():
    with pytest.raises(NothingToEvaluate, match="no purchase before 2025-03-02"):
        split(("ann", "tea", moment(1)))


def test_nothing_to_measure_is_an_error():
    with pytest.raises(NothingToEvaluate, match="nothing to measure; raise RECSYS_EVALUATION_DAYS"):
        split(("ann", "tea", moment(-1)), ("ann", "tea", moment(1)))


def test_the_store_gives_the_same_split(tmp_path):
    import pyarrow as pa

    store = Store(tmp_path.as_uri())
    store.table("items").write(pa.table({"item_id": ITEMS}))
    write_days(store, events(*EXAMPLE), -40, 7)

    found = load_split(store, DAYS)

    expected = split(*EXAMPLE)
    assert dense(found.requests.relevant) == dense(expected.requests.relevant)
    np.testing.assert_array_equal(found.purchases, expected.purchases)


def test_of_live_data_the_last_days_are_split_off_and_none_after_is_asked_for(tmp_path):
    import pyarrow as pa

    store = Store(tmp_path.as_uri())
    store.table("items").write(pa.table({"item_id": ITEMS}))
    write_days(store, events(*EXAMPLE), -40, 6)
    live = replace(DAYS, last_day=None, today=TODAY + timedelta(days=7))

    found = load_split(store, live)

    assert dense(found.requests.relevant) == dense(split(*EXAMPLE).requests.relevant)
    assert dense(found.history) == dense(split(*EXAMPLE).history)


def test_a_missing_day_is_named(tmp_path):
    import pyarrow as pa

    store = Store(tmp_path.as_uri())
    store.table("items").write(pa.table({"item_id": ITEMS}))
    write_days(store, events(*EXAMPLE), -40, 5)

    with pytest.raises(MissingPartition, match="2025-03-08"):
        load_split(store, DAYS)
