import json
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_assets.pipeline.diversity import (
    METHODS,
    Diversity,
    Sampling,
    arrange,
    determinantal_map,
    maximal_marginal_relevance,
    perturb,
)

TWINS_AND_A_STRANGER = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
BY_CHANCE = 1e-3  # below this a test of frequencies fails; seeds are fixed


def unit_vectors(rng, count, dimensions):
    vectors = rng.normal(size=(count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@st.composite
def cases(draw):
    """Relevance in [0, 1], vectors of which some are the same, and how many to take."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(2, 12))
    vectors = unit_vectors(rng, count, draw(st.integers(2, 20)))
    copies = draw(st.integers(0, count // 2))
    vectors[rng.integers(0, count, copies)] = vectors[rng.integers(0, count, copies)]
    return rng.random(count), vectors, draw(st.integers(1, count))


def marginal_relevance(relevance, vectors, taken, item, trade_off):
    nearest = max((float(vectors[item] @ vectors[other]) for other in taken), default=0.0)
    return trade_off * relevance[item] - (1 - trade_off) * nearest


def log_determinant(relevance, vectors, items, theta):
    """Of the kernel of the items, worked out as the paper defines it."""
    quality = np.exp(theta / (2 * (1 - theta)) * relevance[items])
    similarity = (1 + vectors[items].astype(np.float64) @ vectors[items].T) / 2
    return np.linalg.slogdet(quality[:, None] * similarity * quality)[1]


def test_mmr_lets_a_duplicate_give_way_to_something_else():
    relevance = np.array([1.0, 0.9, 0.6])
    shown = maximal_marginal_relevance(relevance, TWINS_AND_A_STRANGER, 3, trade_off=0.7)
    assert shown.tolist() == [0, 2, 1]


def test_dpp_lets_a_duplicate_give_way_to_something_else():
    relevance = np.array([1.0, 0.9, 0.6])
    shown = determinantal_map(relevance, TWINS_AND_A_STRANGER, 3, trade_off=0.7)
    assert shown.tolist() == [0, 2, 1]


@pytest.mark.parametrize("trade_off", [0.5, 0.9, 0.99])
def test_dpp_shows_a_duplicate_last_however_relevant_it_is(trade_off):
    shown = determinantal_map(np.array([1.0, 0.99, 0.0]), TWINS_AND_A_STRANGER, 3, trade_off)
    assert shown.tolist() == [0, 2, 1]


def test_mmr_agrees_with_the_formula_taken_literally():
    rng = np.random.default_rng(5)
    vectors, relevance = unit_vectors(rng, 40, 6), rng.random(40)
    expected: list[int] = []
    while len(expected) < 20:
        others = [item for item in range(40) if item not in expected]
        gains = [marginal_relevance(relevance, vectors, expected, item, 0.6) for item in others]
        expected.append(others[int(np.argmax(gains))])
    assert maximal_marginal_relevance(relevance, vectors, 20, 0.6).tolist() == expected


@given(cases(), st.sampled_from([0.0, 0.2, 0.5, 0.8, 0.99]))
def test_every_step_of_mmr_takes_the_item_of_highest_marginal_relevance(case, trade_off):
    relevance, vectors, k = case
    shown = maximal_marginal_relevance(relevance, vectors, k, trade_off).tolist()
    for step, item in enumerate(shown):
        others = set(range(len(relevance))) - set(shown[:step])
        of = {o: marginal_relevance(relevance, vectors, shown[:step], o, trade_off) for o in others}
        assert of[item] == pytest.approx(max(of.values()), abs=1e-5)


@given(cases(), st.sampled_from([0.0, 0.2, 0.5, 0.8, 0.95]))
def test_every_step_of_dpp_takes_the_item_that_raises_the_determinant_most(case, theta):
    relevance, vectors, k = case
    shown = determinantal_map(relevance, vectors, k, theta).tolist()
    for step in range(k):
        before = shown[:step]
        others = sorted(set(range(len(relevance))) - set(before))
        with np.errstate(divide="ignore"):
            found = [log_determinant(relevance, vectors, [*before, item], theta) for item in others]
        if max(found) < np.log(1e-3) + log_determinant(relevance, vectors, before, theta):
            break  # what is left is spanned by the items taken, up to rounding
        assert found[others.index(shown[step])] == pytest.approx(max(found), abs=1e-2)


def test_dpp_finds_the_most_likely_slate_where_greed_does():
    rng = np.random.default_rng(2)
    vectors, relevance = unit_vectors(rng, 6, 4), rng.random(6)
    best = max(
        permutations(range(6), 3), key=lambda s: log_determinant(relevance, vectors, [*s], 0.5)
    )
    assert set(determinantal_map(relevance, vectors, 3, 0.5).tolist()) == set(best)


def test_dpp_shows_what_is_spanned_already_last_and_by_relevance():
    vectors = np.repeat(TWINS_AND_A_STRANGER[1:], [3, 1], axis=0)
    shown = determinantal_map(np.array([0.2, 1.0, 0.5, 0.0]), vectors, 4, trade_off=0.5)
    assert shown.tolist() == [1, 3, 2, 0]


def test_dpp_stays_finite_where_the_items_taken_span_all_others():
    """What rounding leaves of a spanned item, over its own tiny length, grew at every step."""
    rng = np.random.default_rng(6)
    vectors = unit_vectors(rng, 11, 2)
    vectors[6] = vectors[1]
    relevance = rng.random(11)
    with np.errstate(all="raise"):
        shown = determinantal_map(relevance, vectors, 11, trade_off=0.999999)
    assert sorted(shown.tolist()) == list(range(11))


@given(cases(), st.sampled_from(METHODS), st.sampled_from([0.0, 0.5, 0.999999, 1.0]))
def test_no_item_is_shown_twice(case, method, trade_off):
    scores, vectors, k = case
    shown = arrange(scores, vectors, k, Diversity(trade_off, pool=5, method=method))
    assert len(set(shown.tolist())) == len(shown) == k


@given(cases(), st.sampled_from(METHODS))
def test_trade_off_of_one_keeps_the_order_of_scores(case, method):
    scores, vectors, k = case
    shown = arrange(scores, vectors, k, Diversity(trade_off=1.0, pool=50, method=method))
    assert shown.tolist() == np.argsort(-scores, kind="stable")[:k].tolist()


@pytest.mark.parametrize("trade_off", [0.5, 1.0])
def test_of_equal_items_the_earlier_comes_first(trade_off):
    shown = arrange(np.ones(4), np.eye(4, dtype=np.float32), 3, Diversity(trade_off, pool=4))
    assert shown.tolist() == [0, 1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_only_the_pool_is_rearranged(method):
    scores = np.array([3.0, 2.9, 0.1], dtype=np.float32)
    diversity = Diversity(trade_off=0.1, pool=2, method=method)
    assert arrange(scores, TWINS_AND_A_STRANGER, 2, diversity).tolist() == [0, 1]


@pytest.mark.parametrize("method", METHODS)
def test_vectors_may_be_a_function_that_is_asked_for_the_pool_alone(method):
    rng = np.random.default_rng(1)
    table, rows, scores = unit_vectors(rng, 500, 8), rng.permutation(500)[:90], rng.random(90)
    asked = []

    def of_places(places):
        asked.extend(places.tolist())
        return table[rows[places]]

    diversity = Diversity(0.6, pool=20, method=method)
    shown = arrange(scores, of_places, 10, diversity)
    assert shown.tolist() == arrange(scores, table[rows], 10, diversity).tolist()
    assert sorted(asked) == sorted(np.argsort(-scores)[:20].tolist())


def test_equal_scores_can_be_arranged():
    shown = arrange(np.ones(3), TWINS_AND_A_STRANGER, 3, Diversity(trade_off=0.5, pool=3))
    assert sorted(shown.tolist()) == [0, 1, 2]


def test_sampling_repeats_for_a_request_and_differs_between_requests():
    scores, sampling = np.zeros(50), Sampling(temperature=1.0, seed=3)
    first = perturb(scores, sampling, request=1)
    assert (first == perturb(scores, sampling, request=1)).all()
    assert (first != perturb(scores, sampling, request=2)).any()
    assert (first != perturb(scores, Sampling(1.0, seed=4), request=1)).any()


def sampled_slates(scores, temperature, seed, k, requests):
    sampling, unchanged = Sampling(temperature, seed), Diversity(trade_off=1.0, pool=1)
    no_vectors = np.empty((len(scores), 0), dtype=np.float32)
    return np.array(
        [
            arrange(perturb(scores, sampling, request), no_vectors, k, unchanged)
            for request in range(requests)
        ]
    )


def assert_drawn(counts, expected):
    """That counts could have come by chance of what is expected."""
    from scipy.stats import chisquare

    assert chisquare(counts, expected).pvalue > BY_CHANCE


@pytest.mark.parametrize(("temperature", "seed"), [(0.5, 0), (1.0, 1), (2.0, 2)])
def test_a_slate_of_one_is_a_sample_of_the_softmax(temperature, seed):
    scores = np.array([2.0, 1.0, 0.5, 0.0])
    shown = sampled_slates(scores, temperature, seed, k=1, requests=5000)[:, 0]
    softmax = np.exp(scores / temperature) / np.exp(scores / temperature).sum()
    assert_drawn(np.bincount(shown, minlength=4), softmax * len(shown))


def test_a_longer_slate_is_a_sample_without_replacement():
    scores = np.log([0.5, 0.3, 0.2])
    shown = sampled_slates(scores, temperature=1.0, seed=0, k=2, requests=5000)
    weight = np.exp(scores)
    pairs = list(permutations(range(3), 2))
    expected = [weight[a] * weight[b] / (1 - weight[a]) for a, b in pairs]
    found = [int((shown == pair).all(axis=1).sum()) for pair in pairs]
    assert_drawn(found, np.array(expected) * len(shown))


def test_releases_that_name_no_method_use_mmr():
    assert Diversity(**json.loads('{"trade_off": 0.8, "pool": 50}')).method == "mmr"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"trade_off": 1.5, "pool": 1}, "trade_off"),
        ({"trade_off": float("nan"), "pool": 1}, "trade_off"),
        ({"trade_off": 0.5, "pool": 0}, "pool"),
        ({"trade_off": 0.5, "pool": 5, "method": "magic"}, "method is 'magic': give mmr or dpp"),
    ],
)
def test_impossible_diversity_is_refused(wrong, field):
    with pytest.raises(ValueError, match=f"diversity {field}"):
        Diversity(**wrong)


@pytest.mark.parametrize(("temperature", "seed"), [(-1.0, 0), (float("inf"), 0), (1.0, -1)])
def test_impossible_sampling_is_refused(temperature, seed):
    with pytest.raises(ValueError, match="give 0"):
        Sampling(temperature, seed)
