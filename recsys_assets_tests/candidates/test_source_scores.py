import numpy as np
import pytest

from recsys_assets.candidates.source_scores import SourceScores

NOTHING = -np.inf


def scored(*rows, items=(2, 5, 7, 9)):
    return SourceScores(np.array(items), np.array(rows, dtype=np.float32))


def pairs(found):
    request, item = found
    return list(zip(request.tolist(), item.tolist(), strict=True))


def test_the_best_of_each_request_are_rows_of_the_catalogue():
    scores = scored([4, 1, 3, 2], [0, 9, 8, 7])

    assert pairs(scores.best(2)) == [(0, 2), (0, 7), (1, 5), (1, 7)]


def test_of_equal_scores_the_first_of_the_catalogue_are_the_best():
    scores = scored([1, 2, 1, 1], [3, 3, 3, 3], [5, 4, 4, NOTHING])

    assert pairs(scores.best(2)) == [(0, 2), (0, 5), (1, 2), (1, 5), (2, 2), (2, 5)]


@pytest.mark.parametrize("quota", [0, 1, 3, 4, 1000])
def test_a_quota_is_the_most_and_what_has_no_score_is_never_among_the_best(quota):
    scores = scored([NOTHING, 1, NOTHING, 1], [NOTHING] * 4, [1, 2, 3, 4])

    request, item = scores.best(quota)

    assert np.bincount(request, minlength=3).tolist() == [min(quota, 2), 0, min(quota, 4)]
    assert set(item[request == 0].tolist()) <= {5, 9}


@pytest.mark.parametrize("seed", range(5))
def test_the_best_are_the_first_of_a_stable_sort(seed):
    random = np.random.default_rng(seed)
    values = random.integers(0, 6, (20, 30)).astype(np.float32)
    values[random.random(values.shape) < 0.4] = NOTHING
    items = np.sort(random.choice(1000, 30, replace=False))

    request, item = scored(*values, items=items).best(7)

    for number, row in enumerate(values):
        sorted_ = np.argsort(-row, kind="stable")[:7]
        expected = items[sorted_[row[sorted_] > NOTHING]]
        assert item[request == number].tolist() == sorted(expected.tolist())


def test_what_is_excluded_is_so_in_its_request_alone_and_may_be_unknown():
    scores = scored([4, 1, 3, 2], [4, 1, 3, 2])

    scores.exclude(np.array([0, 0, 0, 1]), np.array([10, 2, 0, 9]))

    assert scores.values.tolist() == [[NOTHING, 1, 3, 2], [4, 1, 3, NOTHING]]


def test_pairs_are_looked_up_and_an_item_that_is_not_known_has_no_score():
    scores = scored([4, 1, 3, 2], [5, 6, 7, 8])

    found = scores.at(np.array([0, 1, 0, 1, 1]), np.array([2, 9, 0, 6, 10]))

    assert found.tolist() == [4, 8, NOTHING, NOTHING, NOTHING]
    assert found.dtype == np.float32


def test_a_source_that_knows_nothing_brings_nothing():
    nothing = SourceScores(np.zeros(0, int), np.zeros((2, 0), np.float32))

    nothing.exclude(np.array([0]), np.array([3]))

    assert pairs(nothing.best(5)) == []
    assert nothing.at(np.array([1]), np.array([3])).tolist() == [NOTHING]


@pytest.mark.parametrize("items", [(2, 7, 5, 9), (2, 5, 5, 9)])
def test_items_out_of_order_or_given_twice_are_refused(items):
    with pytest.raises(ValueError, match=r"scores of item 5 follow those of item [75]: give each"):
        scored([1, 2, 3, 4], items=items)


@pytest.mark.parametrize("shape", [(1, 3), (4,)])
def test_values_that_are_not_a_column_for_each_item_are_refused(shape):
    with pytest.raises(ValueError, match=r"of the shape \(.*\) for 4 items: give a row for each"):
        SourceScores(np.arange(4), np.zeros(shape, np.float32))
