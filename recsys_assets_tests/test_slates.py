import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys_assets.slates import rank, slate_faults
from recsys_assets_tests.evaluation.tiny import matrix


def scorer_of(scores):
    return lambda start, stop: np.array(scores, dtype=np.float32)[start:stop]


def test_best_first_without_seen_items():
    slates = rank(scorer_of([[1, 9, 5, 7]]), matrix([[0, 1, 0, 0]]), np.zeros(4), k=2)

    assert slates.tolist() == [[3, 2]]


def test_equal_scores_go_to_the_popular_item_then_the_earlier_row():
    slates = rank(scorer_of([[1, 1, 1, 2]]), matrix([[0, 0, 0, 0]]), np.array([0, 5, 0, 0]), k=4)

    assert slates.tolist() == [[3, 1, 0, 2]]


def test_too_few_items_are_padded():
    seen = matrix([[1, 0, 0]])

    slates = rank(scorer_of([[1, -np.inf, 3]]), seen, np.zeros(3), k=5)

    assert slates.tolist() == [[2, -1, -1, -1, -1]]


def test_more_requests_than_a_block():
    scores = np.random.default_rng(0).normal(size=(600, 7))

    told = []

    slates = rank(
        scorer_of(scores),
        matrix(np.zeros((600, 7))),
        np.zeros(7),
        k=3,
        progress=lambda done, total: told.append((done, total)),
    )

    np.testing.assert_array_equal(slates, np.argsort(-scores, axis=1)[:, :3])
    assert told == [(256, 600), (512, 600), (600, 600)]


@given(
    scores=hnp.arrays(np.float32, (3, 9), elements=st.sampled_from([0, 1, 2, -1, -np.inf])),
    seen=hnp.arrays(bool, (3, 9)),
    popularity=hnp.arrays(np.int64, 9, elements=st.integers(0, 3)),
    k=st.integers(1, 12),
)
@settings(max_examples=200)
def test_rank_equals_sorting(scores, seen, popularity, k):
    slates = rank(scorer_of(scores), matrix(seen), popularity, k)

    for row in range(3):
        allowed = [i for i in range(9) if not seen[row, i] and np.isfinite(scores[row, i])]
        expected = sorted(allowed, key=lambda i: (-scores[row, i], -popularity[i], i))[:k]
        assert slates[row].tolist() == expected + [-1] * (k - len(expected))
    assert not any(slate_faults(slates, matrix(seen)).values())


@pytest.mark.parametrize(
    ("slate", "fault"),
    [
        ([1, 0, 2], "seen_items"),
        ([1, 1, 2], "repeated_items"),
        ([1, -1, 2], "gaps"),
        ([1, 2, 7], "unknown_items"),
        ([1, 2, -5], "unknown_items"),
    ],
)
def test_faults_are_counted(slate, fault):
    faults = slate_faults(np.array([slate], dtype=np.int32), matrix([[1, 0, 0, 0]]))

    assert faults[fault] == 1
    assert sum(faults.values()) == 1


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_a_score_that_nothing_can_be_ordered_by_is_refused(score):
    scores = [[4, 3, 2, 1], [3, 2, score, 1]]

    with pytest.raises(ValueError, match=f"request 1: item 2 has the score {score}"):
        rank(scorer_of(scores), matrix(np.zeros((2, 4))), np.zeros(4), k=2)
