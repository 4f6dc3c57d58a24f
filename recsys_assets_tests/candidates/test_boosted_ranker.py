from dataclasses import replace

import numpy as np
import pytest

from recsys_assets.candidates.boosted_ranker import BoostedRanker, Boosting, RankerExamples

QUICK = Boosting(trees=20, min_leaf_examples=5, negatives=1.0)


def week(seed, requests=40, candidates=20, bought=None):
    """What has a high `good` is bought; `noise` says nothing."""
    random = np.random.default_rng(seed)
    inputs = random.random((requests * candidates, 2)).astype(np.float32)
    owner = np.repeat(np.arange(requests), candidates)
    label = inputs[:, 0] > 0.8 if bought is None else np.full(len(owner), bought)
    return RankerExamples(
        ("good", "noise"), inputs, owner, label, np.bincount(owner, label).astype(int)
    )


def test_it_learns_what_was_bought_and_says_from_what():
    ranker = BoostedRanker.fit([week(1), week(2)], QUICK)

    low, high = ranker.score(np.array([[0.1, 0.5], [0.95, 0.5]], dtype=np.float32))
    assert high > low
    assert next(iter(ranker.importance())) == "good"
    assert sum(ranker.importance().values()) == pytest.approx(1)
    assert ranker.names == ("good", "noise")


def test_the_same_seed_gives_the_same_ranker_and_it_is_read_as_it_was_written(tmp_path):
    inputs = week(3).inputs
    one, other = (BoostedRanker.fit([week(1)], QUICK) for _ in range(2))
    one.save(tmp_path)

    np.testing.assert_array_equal(one.score(inputs), other.score(inputs))
    read = BoostedRanker.load(tmp_path)
    np.testing.assert_array_equal(one.score(inputs), read.score(inputs))
    assert read.correction == one.correction


def test_probabilities_are_those_of_the_latest_week_with_candidates():
    """Whatever share of negatives was learned from, and however customers weigh."""
    thinned = replace(QUICK, negatives=0.1, household_power=1.0)
    latest, nobody = week(2), week(3, requests=0)

    ranker = BoostedRanker.fit([week(1, bought=True), latest, nobody], thinned)

    probability = ranker.probabilities(ranker.score(latest.inputs))
    assert probability.mean() == pytest.approx(latest.bought.mean(), rel=0.05)


def test_a_missing_number_is_no_obstacle():
    ranker = BoostedRanker.fit([week(1)], QUICK)

    assert np.isfinite(ranker.score(np.full((1, 2), np.nan, dtype=np.float32))).all()


def test_weeks_without_a_purchase_have_nothing_to_teach():
    with pytest.raises(ValueError, match="no candidate of the 2 weeks was bought"):
        BoostedRanker.fit([week(1, bought=False), week(2, bought=False)], QUICK)


@pytest.mark.parametrize("share", [0, 1.5])
def test_a_share_of_negatives_is_a_share(share):
    with pytest.raises(ValueError, match="share of negatives"):
        Boosting(negatives=share)


def test_a_history_too_short_to_learn_from_has_no_model(tmp_path):
    assert BoostedRanker.load(tmp_path) is None
    assert BoostedRanker.load(None) is None
