import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recsys_assets import metrics
from recsys_assets_tests.evaluation.tiny import matrix

# Household 0 wants items 1 and 3 and is shown 3, 0, 1; household 1 wants 2 and is shown 0 alone.
RELEVANT = matrix([[0, 1, 0, 1], [0, 0, 1, 0]])
SLATES = np.array([[3, 0, 1], [0, -1, -1]], dtype=np.int32)
COUNTS = np.array([2, 1])


def test_hits_by_hand():
    expected = [[True, False, True], [False, False, False]]

    assert metrics.hits(SLATES, RELEVANT).tolist() == expected


def test_recall_by_hand():
    hit = metrics.hits(SLATES, RELEVANT)

    assert metrics.recall(hit, COUNTS, 1).tolist() == [0.5, 0]
    assert metrics.recall(hit, COUNTS, 3).tolist() == [1, 0]
    assert metrics.pooled_recall(hit, COUNTS, 3) == pytest.approx(2 / 3)


def test_ndcg_by_hand():
    hit = metrics.hits(SLATES, RELEVANT)

    # Hits at places 1 and 3: (1/log2(2) + 1/log2(4)) / (1/log2(2) + 1/log2(3)).
    assert metrics.ndcg(hit, COUNTS, 3)[0] == pytest.approx(1.5 / (1 + 1 / math.log2(3)))
    assert metrics.ndcg(hit, COUNTS, 1).tolist() == [1, 0]


def test_coverage_by_hand():
    assert metrics.coverage(SLATES, 4, 1) == 0.5
    assert metrics.coverage(SLATES, 4, 3) == 0.75


def test_recall_by_worth_by_hand():
    # Household 0 pays 1 for item 1, which is on place 3, and 3 for item 3 on place 1.
    worth = matrix([[0, 1, 0, 3], [0, 0, 5, 0]])

    assert metrics.weighted_recall(SLATES, worth, 1).tolist() == [0.75, 0]
    assert metrics.weighted_recall(SLATES, worth, 3).tolist() == [1, 0]


def test_recall_by_worth_is_unknown_where_nothing_is_worth_anything():
    worth = matrix([[0, 0, 0, 0], [0, 0, 0, 2]])  # padding is not the last item

    np.testing.assert_array_equal(metrics.weighted_recall(SLATES, worth, 3), [np.nan, 0])


def test_gini_by_hand():
    assert metrics.gini(np.array([5, 5, 5, 5]), 4) == 0
    assert metrics.gini(np.array([0, 0, 0, 8]), 4) == 0.75  # one of n items has all: 1 - 1 / n
    # Mean difference of all ordered pairs over twice the mean: (4 * 2) / 9 / (2 * 2).
    assert metrics.gini(np.array([3, 1, 2]), 3) == pytest.approx(8 / 9 / 4)


def test_items_that_are_shown_nowhere_need_no_count_of_their_own():
    counts = np.array([[4, 1, 0, 0, 0], [2, 2, 1, 0, 0]])

    alone = [metrics.gini(np.array([4, 1]), 5), metrics.gini(np.array([2, 2, 1]), 5)]

    assert metrics.gini(counts, 5).tolist() == pytest.approx(alone)


def test_gini_of_nothing_is_unknown():
    assert np.isnan(metrics.gini(np.zeros((1, 0)), 4)).all()


def test_novelty_by_hand():
    # With one more of each, items have 4, 2, 1 and 1 of 8 purchases: 1, 2, 3 and 3 bits.
    purchases = np.array([3, 1, 0, 0])

    assert metrics.novelty(SLATES, purchases, 3).tolist() == pytest.approx([(3 + 1 + 2) / 3, 1])
    assert metrics.novelty(SLATES, purchases, 1).tolist() == [3, 1]


def test_novelty_of_an_empty_slate_is_unknown():
    assert np.isnan(metrics.novelty(np.array([[-1, -1]]), np.array([1]), 2)).all()


def test_diversity_of_a_slate_is_the_mean_over_its_pairs():
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    slates = np.array([[0, 1, 2], [3, 4, -1], [5, -1, -1]])

    found = metrics.intra_list_diversity(slates, metrics.cosines(slates, vectors))

    three = [1 - vectors[a] @ vectors[b] for a, b in ((0, 1), (0, 2), (1, 2))]
    two = 1 - vectors[3] @ vectors[4]
    np.testing.assert_allclose(found, [np.mean(three), two, np.nan], atol=1e-6)


def test_items_are_alike_by_the_attributes_that_they_share():
    # The same kind; of another kind but the same maker; the maker of the last is not known.
    attributes = np.array([[1, 1], [1, 2], [2, 2], [2, 0]])
    slates = np.array([[0, 1, 2], [2, 3, -1], [3, 3, -1]])

    alike = metrics.shared_attributes(slates, attributes)

    assert (alike[0, 0, 1], alike[0, 1, 2], alike[0, 0, 2]) == (0.5, 0.5, 0)
    assert alike[1, 0, 1] == 0.5
    assert alike[2, 0, 1] == 0.5  # what is missing is shared with nobody
    assert metrics.intra_list_diversity(slates, alike).tolist() == pytest.approx([2 / 3, 0.5, 0.5])


def test_padding_is_never_a_hit_for_the_row_before():
    # Key of (row 1, padding) would fall on (row 0, last item) if padding were not left out.
    relevant = matrix([[0, 1], [1, 0]])
    slates = np.array([[0], [-1]], dtype=np.int32)

    assert not metrics.hits(slates, relevant).any()


def test_a_request_without_relevant_items_is_refused():
    with pytest.raises(ValueError, match="at least one relevant"):
        metrics.recall(np.zeros((1, 3), dtype=bool), np.array([0]), 3)


def test_a_slate_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="3 places, 10"):
        metrics.ndcg(np.zeros((1, 3), dtype=bool), np.array([1]), 10)


def test_slates_of_other_requests_are_refused():
    with pytest.raises(ValueError, match="3 slates for 2 requests"):
        metrics.hits(np.zeros((3, 1), dtype=np.int32), RELEVANT)


def test_bootstrap_interval_holds_the_mean_and_narrows_with_more_requests():
    values = np.random.default_rng(0).exponential(size=4000)

    few, many = metrics.bootstrap(values[:100]), metrics.bootstrap(values)

    assert many.low < values.mean() < many.high
    assert many.high - many.low < few.high - few.low
    # The standard error of a mean of 4,000 exponentials is 1 / sqrt(4000).
    assert many.high - many.low == pytest.approx(2 * 1.96 / math.sqrt(4000), rel=0.15)
    assert metrics.bootstrap(values) == many


def test_bootstrap_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no requests"):
        metrics.bootstrap(np.array([]))


def test_what_is_not_a_number_says_nothing_of_a_group():
    values = np.array([1.0, np.nan, 3.0, np.nan])

    found = metrics.bootstrap_groups(values, np.array([0, 0, 1, 2]))

    assert found == metrics.bootstrap_groups(np.array([1.0, 3.0]), np.array([0, 1]))


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).exponential(size=metrics.GROUPS)
    without = (values.sum() - values) / (len(values) - 1)

    found = metrics.jackknife(float(values.mean()), without)

    error = values.std(ddof=1) / math.sqrt(len(values))
    assert found.mean == values.mean()
    assert found.high - found.mean == pytest.approx(1.96 * error, rel=1e-3)
    assert found.mean - found.low == pytest.approx(1.96 * error, rel=1e-3)


def test_the_groups_of_a_jackknife_are_of_one_size():
    assert np.bincount(metrics.jackknife_groups(120)).tolist() == [3] * 20 + [2] * 30
    assert sorted(metrics.jackknife_groups(3)) == [0, 1, 2]


def test_without_the_only_customer_nothing_is_left_to_compare_with():
    assert metrics.jackknife(0.5, np.array([np.nan])) == metrics.Estimate(0.5, 0.5, 0.5)


@st.composite
def shown_and_wanted(draw):
    items = draw(st.integers(4, 12))
    requests = draw(st.integers(1, 5))
    k = draw(st.integers(1, items))
    slates, wanted = [], []
    for _ in range(requests):
        shown = draw(st.permutations(range(items)))[: draw(st.integers(0, k))]
        slates.append(shown + [-1] * (k - len(shown)))
        wanted.append(draw(st.sets(st.integers(0, items - 1), min_size=1)))
    return items, k, slates, wanted


@given(shown_and_wanted())
@settings(max_examples=200)
def test_metrics_equal_an_independent_computation(case):
    items, k, slates, wanted = case
    rows = [row for row, want in enumerate(wanted) for _ in want]
    columns = [item for want in wanted for item in want]
    relevant = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (len(wanted), items))
    counts = np.diff(relevant.indptr)

    hit = metrics.hits(np.array(slates, dtype=np.int32), relevant)

    for row, (shown, want) in enumerate(zip(slates, wanted, strict=True)):
        gains = [1 if item in want else 0 for item in shown]
        assert metrics.recall(hit, counts, k)[row] == pytest.approx(sum(gains) / len(want))
        dcg = sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))
        best = sum(1 / math.log2(place + 2) for place in range(min(k, len(want))))
        assert metrics.ndcg(hit, counts, k)[row] == pytest.approx(dcg / best)
    total = sum(len(set(shown) & want) for shown, want in zip(slates, wanted, strict=True))
    assert metrics.pooled_recall(hit, counts, k) == pytest.approx(total / len(rows))
    shown_items = {item for shown in slates for item in shown if item >= 0}
    covered = metrics.coverage(np.array(slates, dtype=np.int32), items, k)
    assert covered == pytest.approx(len(shown_items) / items)
