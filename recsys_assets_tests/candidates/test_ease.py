import numpy as np
import pytest

from recsys_assets.candidates import ease
from recsys_assets.candidates.ease import Ease, dual, primal
from recsys_assets_tests.evaluation.tiny import random_split

SEEDS = [0, 1, 2]


def steck(history, seen, regularisation):
    """EASE as printed in the paper, in float64 and without any trick."""
    inverse = np.linalg.inv(history.T @ history + regularisation * np.eye(history.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return seen @ weights


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", [dual, primal])
@pytest.mark.parametrize("users", [12, 40])
@pytest.mark.parametrize("block", [7, 512])
def test_both_forms_of_ease_are_the_closed_form(seed, form, users, block, monkeypatch):
    monkeypatch.setattr(ease, "_BLOCK", block)
    split = random_split(seed, users=users)
    history, seen = split.history.astype(float), split.requests.seen.astype(float)

    scores = form(history, 10.0)(seen)

    expected = steck(history.toarray(), seen.toarray(), 10.0)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_items_without_enough_buyers_have_the_score_that_others_have():
    split = random_split(0)
    buyers = np.diff(split.history.tocsc().indptr)

    fitted = Ease.fit(split.history, 10.0, min_buyers=8)

    assert fitted.columns.tolist() == np.flatnonzero(buyers >= 8).tolist()
    scores = fitted.scores(split.requests.seen, -np.inf)
    assert np.isfinite(scores[:, buyers >= 8]).all()
    assert (scores[:, buyers < 8] == -np.inf).all()


def test_without_any_item_that_has_enough_buyers_nothing_has_a_score():
    split = random_split(0)

    scores = Ease.fit(split.history, 10.0, min_buyers=1000).scores(split.requests.seen, -np.inf)

    assert (scores == -np.inf).all()
