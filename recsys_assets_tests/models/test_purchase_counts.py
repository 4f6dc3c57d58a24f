import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.features.encoding import Encoding, ModelEncoding
from recsys_assets.models.item_history import ItemHistory
from recsys_assets.models.purchase_counts import PurchaseCountHistory, PurchaseCounts, Purchases

DAY = 86_400
ITEMS = ["tea", "coffee", "soap"]
CATEGORIES = ["drinks", "drinks", "bath"]


def text(values):
    return np.array(values, dtype=object)


@pytest.fixture
def purchases():
    withdrawn = {"item_id": text(["milk"]), "category_l2": text(["drinks"]), "brand": text([""])}
    history = ItemHistory(
        text(ITEMS),
        {"category_l2": text(CATEGORIES), "brand": text(["x", "", "y"])},
        {},
        None,
        withdrawn,
    )
    item = Encoding.fit(
        {"item_id": text(ITEMS), **history.attributes}, ["item_id", "category_l2", "brand"], []
    )
    query = Encoding.fit({"user_id": text(["ann", "ann", "bob"])}, ["user_id"], [])
    rows = [
        ("ann", "tea", 1.5, "purchase"),
        ("ann", "coffee", 2.5, "purchase"),
        ("ann", "soap", 3.5, "view"),
        ("bob", "soap", 1.2, "purchase"),
        ("bob", "milk", 2.2, "purchase"),
        ("bob", "soap", 3.2, "purchase"),
        ("eve", "soap", 1.2, "purchase"),
        ("ann", "unlisted", 1.2, "purchase"),
    ]
    events = pa.table(
        {
            "user_id": [row[0] for row in rows],
            "item_id": [row[1] for row in rows],
            "timestamp": pa.array(
                [int(row[2] * DAY * 1e6) for row in rows], pa.timestamp("us", tz="UTC")
            ),
            "event": [row[3] for row in rows],
        }
    )
    return Purchases.from_table(events, ModelEncoding(query, item), history)


def test_a_moment_sees_purchases_of_days_before_it(purchases):
    history = PurchaseCountHistory(purchases)
    ann = np.array([1, 1, 1])
    drinks = np.array([[1, 1], [1, 1], [1, 1]])

    affinity = history.affinities(ann, drinks, np.array([1.9, 2.1, 3.0]) * DAY // 1)

    counts = np.expm1(affinity[:, 0] * 3)
    assert counts.round(3).tolist() == [0.0, 1.0, 2.0]


def test_an_unknown_user_or_value_has_no_affinity(purchases):
    history = PurchaseCountHistory(purchases)
    users, values = np.array([0, 1]), np.array([[1, 1], [0, 0]])

    assert not history.affinities(users, values, np.full(2, 9 * DAY)).any()
    assert not history.profiles(np.array([0]), np.array([9 * DAY])).any()


def test_profiles_have_unit_length(purchases):
    profiles = PurchaseCountHistory(purchases).profiles(np.array([1, 2]), np.full(2, 9 * DAY))

    assert np.allclose(np.linalg.norm(profiles, axis=1), 1)
    assert (profiles.argmax(axis=1) == [1, 2]).all()


def test_what_is_served_equals_what_was_trained_on(purchases, tmp_path):
    history, users = PurchaseCountHistory(purchases), np.array([0, 1, 2])
    values = np.array([[1, 1], [2, 2], [0, 1]])
    end = np.full(3, 9 * DAY)
    PurchaseCounts.of(purchases).save(tmp_path)

    served = PurchaseCounts.load(tmp_path)

    assert np.array_equal(served.profiles(users), history.profiles(users, end))
    for user in users:
        same = history.affinities(np.full(3, user), values, end)
        alone = served.affinities(np.array([user]), values, np.zeros(3, dtype=np.int64))
        assert np.array_equal(alone, same)


def test_a_batch_of_users_is_served_as_each_of_them_alone(purchases):
    served, values = PurchaseCounts.of(purchases), np.array([[1, 1], [2, 2], [2, 1]])
    owner = np.array([2, 0, 1])

    together = served.affinities(np.array([1, 2, 0]), values, owner)

    for row, user in enumerate([0, 1, 2]):
        alone = served.affinities(np.array([user]), values[row : row + 1], np.zeros(1, int))
        assert np.array_equal(together[row : row + 1], alone)


def test_what_was_bought_of_a_withdrawn_product_still_counts(purchases):
    history = PurchaseCountHistory(purchases)

    counts = np.expm1(
        history.affinities(np.array([2]), np.array([[1, 0]]), np.array([3 * DAY])) * 3
    )

    assert counts[0, 0].round(3) == 1.0  # milk was a drink
