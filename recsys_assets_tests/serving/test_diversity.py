import numpy as np
import pytest

from recsys_assets.serving.diversity import (
    Diversity,
    Sampling,
    arrange,
    maximal_marginal_relevance,
    perturb,
)

TWINS_AND_A_STRANGER = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)


def greedy_by_the_formula(relevance, vectors, k, trade_off):
    taken: list[int] = []
    while len(taken) < k:
        best = max(
            (i for i in range(len(relevance)) if i not in taken),
            key=lambda i: trade_off * relevance[i]
            - (1 - trade_off) * max((float(vectors[i] @ vectors[j]) for j in taken), default=0.0),
        )
        taken.append(best)
    return taken


def test_a_duplicate_gives_way_to_something_else():
    relevance = np.array([1.0, 0.9, 0.6])
    shown = maximal_marginal_relevance(relevance, TWINS_AND_A_STRANGER, 3, trade_off=0.7)
    assert shown.tolist() == [0, 2, 1]


def test_agrees_with_the_formula_taken_literally():
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance = rng.random(40)
    shown = maximal_marginal_relevance(relevance, vectors, 20, trade_off=0.6)
    assert shown.tolist() == greedy_by_the_formula(relevance, vectors, 20, 0.6)


def test_trade_off_of_one_keeps_the_order_of_scores():
    scores = np.array([0.1, 0.9, 0.5], dtype=np.float32)
    shown = arrange(scores, TWINS_AND_A_STRANGER, 3, Diversity(trade_off=1.0, pool=50))
    assert shown.tolist() == [1, 2, 0]


def test_only_the_pool_is_rearranged():
    scores = np.array([3.0, 2.9, 0.1], dtype=np.float32)
    shown = arrange(scores, TWINS_AND_A_STRANGER, 2, Diversity(trade_off=0.1, pool=2))
    assert shown.tolist() == [0, 1]


def test_equal_scores_can_be_arranged():
    shown = arrange(np.ones(3), TWINS_AND_A_STRANGER, 3, Diversity(trade_off=0.5, pool=3))
    assert sorted(shown.tolist()) == [0, 1, 2]


def test_sampling_repeats_for_a_request_and_differs_between_requests():
    scores, sampling = np.zeros(50), Sampling(temperature=1.0, seed=3)
    first = perturb(scores, sampling, request=1)
    assert (first == perturb(scores, sampling, request=1)).all()
    assert (first != perturb(scores, sampling, request=2)).any()


def test_the_first_place_is_a_sample_of_the_softmax():
    scores, sampling = np.array([2.0, 1.0, 0.0]), Sampling(temperature=0.5, seed=0)
    winners = [int(np.argmax(perturb(scores, sampling, request))) for request in range(20_000)]
    expected = np.exp(scores / 0.5) / np.exp(scores / 0.5).sum()
    assert np.bincount(winners, minlength=3) / 20_000 == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("wrong", [{"trade_off": 1.5, "pool": 1}, {"trade_off": 0.5, "pool": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="give"):
        Diversity(**wrong)
