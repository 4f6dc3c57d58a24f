import numpy as np
import pytest

from recsys_assets.models.item_history import ItemHistory, midnight_after
from recsys_assets.models.ranker import Ranker
from recsys_assets.models.training_data import load_training_data, text_embeddings
from recsys_assets_tests.models_environment import THROUGH

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def trained(trained_shop):
    return trained_shop.store, trained_shop.folder("dlrm"), trained_shop.metrics("dlrm")


@pytest.fixture(scope="module")
def ranker(trained):
    store, folder, _ = trained
    history = ItemHistory.load(store, THROUGH)
    columns = history.snapshot(midnight_after(THROUGH))
    return Ranker(folder, columns, text_embeddings(store, history.item_ids), history.promotions)


@pytest.fixture
def user(trained):
    return load_training_data(trained[0], THROUGH).examples.take(np.array([0])).user


def test_onnx_computes_what_tensorflow_does(trained):
    assert trained[2]["onnx_difference"] < 1e-3
    assert trained[2]["finite_weights"]


def test_quality_is_measured_on_the_validation_week(trained):
    figures = trained[2]["validation"]

    assert 0 <= figures["auc"] <= 1
    assert figures["log_loss"] > 0
    assert (
        sum(part["count"] for part in trained[2]["calibration"])
        == (trained[2]["validation_examples"])
    )


def test_a_score_does_not_depend_on_the_other_candidates(ranker, user):
    moment = midnight_after(THROUGH)

    together = ranker.score(user, moment, np.arange(20))

    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    assert np.allclose(ranker.score(user, moment, np.array([7])), together[7], atol=1e-4)


def test_nothing_to_score_is_no_error(ranker, user):
    assert len(ranker.score(user, midnight_after(THROUGH), np.empty(0, dtype=np.int64))) == 0


def test_an_unknown_user_gets_scores(ranker, user):
    nobody = {
        name: np.array([""], dtype=object) if values.dtype == object else np.array([np.nan])
        for name, values in user.items()
    }

    assert np.isfinite(ranker.score(nobody, midnight_after(THROUGH), np.arange(5))).all()
