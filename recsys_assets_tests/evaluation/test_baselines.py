from dataclasses import replace

import numpy as np
import pytest

from recsys_assets.evaluation import baselines
from recsys_assets.slates import rank, slate_faults
from recsys_assets_tests.evaluation.tiny import matrix, random_split

SEEDS = [0, 1, 2]


def steck(history, seen, regularisation):
    """EASE as printed in the paper, in float64 and without any trick."""
    inverse = np.linalg.inv(history.T @ history + regularisation * np.eye(history.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return seen @ weights


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", [baselines.ease_dual, baselines.ease_primal])
@pytest.mark.parametrize("users", [12, 40])
def test_both_forms_of_ease_are_the_closed_form(seed, form, users):
    split = random_split(seed, users=users)
    history, seen = split.history.astype(float), split.requests.seen.astype(float)

    scores = form(history, 10.0)(seen)

    expected = steck(history.toarray(), seen.toarray(), 10.0)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_ease_shows_products_with_enough_buyers_first(seed):
    split = random_split(seed)
    buyers = np.diff(split.history.tocsc().indptr)
    scores = baselines.ease(split, 10.0, min_buyers=8)(0, len(split.requests))

    chosen = buyers >= 8
    assert 0 < chosen.sum() < len(chosen)
    expected = steck(
        split.history[:, chosen].toarray(), split.requests.seen[:, chosen].toarray(), 10.0
    )
    np.testing.assert_allclose(scores[:, chosen], expected, atol=1e-5)
    assert (scores[:, ~chosen] < scores[:, chosen].min()).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_item_knn_is_the_sum_of_cosines(seed):
    split = random_split(seed)
    history = split.history.toarray()
    norms = np.maximum(np.linalg.norm(history, axis=0), 1)
    cosines = (history.T @ history) / np.outer(norms, norms)

    scores = baselines.item_knn(split)(0, len(split.requests))

    np.testing.assert_allclose(scores, split.requests.seen.toarray() @ cosines, atol=1e-5)


def test_als_finds_the_group_a_household_belongs_to():
    split = random_split(0, users=40)
    groups = np.zeros(split.history.shape, dtype=np.float32)
    groups[:20, :10] = groups[20:, 10:] = 1
    groups[0, 9] = groups[20, 19] = 0
    history = matrix(groups)
    requests = replace(split.requests, seen=history[[0, 20]])
    two = replace(split, history=history, history_row=np.array([0, 20]), requests=requests)

    slates = rank(baselines.als(two), two.requests.seen, np.ones(20), k=1)

    assert slates.tolist() == [[9], [19]]


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_every_baseline_keeps_the_protocol(name):
    split = random_split(4)

    slates = rank(baselines.BASELINES[name](split), split.requests.seen, split.purchases, k=10)

    assert not any(slate_faults(slates, split.requests.seen).values())


@pytest.mark.parametrize("name", sorted(set(baselines.BASELINES) - {"popularity_28d"}))
def test_an_unseen_household_gets_what_is_popular(name):
    split = random_split(5, unseen=1)

    slates = rank(baselines.BASELINES[name](split), split.requests.seen, split.purchases, k=10)

    popular = np.argsort(-split.purchases, kind="stable")[:10]
    assert slates[-1].tolist() == popular.tolist()


def test_popularity_counts_purchases():
    split = random_split(6)

    assert baselines.popularity(split)(0, 2).tolist() == [split.purchases.tolist()] * 2
    assert baselines.popularity_recent(split)(0, 1).tolist() == [split.purchases_recent.tolist()]
