from dataclasses import replace

import numpy as np
import pytest

from recsys_assets.evaluation import baselines
from recsys_assets.slates import rank, slate_faults
from recsys_assets_tests.evaluation.tiny import matrix, random_split

SEEDS = [0, 1, 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_ease_shows_products_without_enough_buyers_last(seed):
    split = random_split(seed)
    enough = np.diff(split.history.tocsc().indptr) >= 8

    scores = baselines.ease(split, 10.0, min_buyers=8)(0, len(split.requests))

    assert 0 < enough.sum() < len(enough)
    assert (scores[:, ~enough] < scores[:, enough].min()).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_rp3beta_is_three_steps_of_a_walk_less_what_popular_items_have_ahead(seed):
    split = random_split(seed)
    history, seen = split.history.toarray(), split.requests.seen.toarray()
    buyers, bought = history.sum(axis=0), history.sum(axis=1, keepdims=True)
    walk = seen / np.maximum(buyers, 1) @ history.T @ (history / np.maximum(bought, 1))

    scores = baselines.rp3beta(split, beta=0.5)(0, len(seen))

    np.testing.assert_allclose(scores, walk / np.sqrt(np.maximum(buyers, 1)), atol=1e-5)


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
