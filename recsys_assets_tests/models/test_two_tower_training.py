import numpy as np
import pytest

from recsys_assets.models.item_history import ItemHistory, midnight_after
from recsys_assets.models.towers import ItemTower, QueryTower
from recsys_assets.models.training_data import load_training_data, text_embeddings
from recsys_assets_tests.models_environment import THROUGH

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def trained(trained_shop):
    return trained_shop.store, trained_shop.folder("two_tower"), trained_shop.metrics("two_tower")


def test_onnx_computes_what_tensorflow_does(trained):
    _, _, metrics = trained

    assert metrics["onnx_difference"] < 1e-5
    assert metrics["finite_weights"]


def test_every_epoch_is_reported(trained):
    _, _, metrics = trained

    assert [epoch["epoch"] for epoch in metrics["epochs"]] == [1, 2, 3]
    assert all("recall_at_10" in epoch for epoch in metrics["epochs"][:2])


def test_query_embeddings_are_unit_vectors_that_know_the_user(trained):
    store, folder, _ = trained
    user = load_training_data(store, THROUGH).examples.take(np.zeros(3, int)).user
    user["user_id"] = np.array(["user-1", "never seen", ""], dtype=object)
    timestamps = np.full(3, midnight_after(THROUGH))

    embedded = QueryTower(folder).embed(user, timestamps)

    assert embedded.shape == (3, 8)
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    assert not np.allclose(embedded[0], embedded[1])
    assert np.allclose(embedded[1], embedded[2])  # both are the unknown row


def test_a_row_is_embedded_as_in_a_batch(trained):
    store, folder, _ = trained
    examples = load_training_data(store, THROUGH).examples.take(np.arange(5))
    tower = QueryTower(folder)

    batch = tower.embed(examples.user, examples.timestamp)
    one = examples.take(np.array([3]))

    assert np.allclose(tower.embed(one.user, one.timestamp)[0], batch[3], atol=1e-6)


def test_items_that_training_has_not_seen_are_embedded(trained):
    store, folder, _ = trained
    history = ItemHistory.load(store, THROUGH)
    columns = history.snapshot(midnight_after(THROUGH))
    columns["item_id"] = columns["item_id"].copy()
    columns["item_id"][:] = "new"

    embedded = ItemTower(folder).embed(
        columns, text_embeddings(store, history.item_ids), midnight_after(THROUGH)
    )

    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
