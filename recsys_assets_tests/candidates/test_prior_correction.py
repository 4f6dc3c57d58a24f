import numpy as np
import pytest

from recsys_assets.candidates.prior_correction import PriorCorrection


def drawn(offset, count=200_000):
    """Scores, and purchases with the probability sigmoid(score + offset)."""
    random = np.random.default_rng(0)
    scores = random.normal(size=count).astype(np.float32)
    return scores, random.random(count) < 1 / (1 + np.exp(-scores - offset))


def test_it_finds_by_how_much_log_odds_are_too_high():
    scores, bought = drawn(-4.0)

    found = PriorCorrection.fit(scores, bought)

    assert found.offset == pytest.approx(-4.0, abs=0.05)
    assert found.probabilities(scores).mean() == pytest.approx(bought.mean(), rel=1e-3)


def test_a_quarter_of_the_negatives_makes_odds_four_times_too_high():
    bought = np.arange(1000) < 100
    odds_seen = 100 / (900 / 4)

    found = PriorCorrection.fit(np.full(1000, np.log(odds_seen)), bought)

    assert found.offset == pytest.approx(np.log(1 / 4), abs=0.01)


def test_the_order_of_scores_stays():
    scores, bought = drawn(-2.0, count=1000)

    probability = PriorCorrection.fit(scores, bought).probabilities(scores)

    assert (np.diff(probability[np.argsort(scores)]) >= 0).all()
    assert ((probability > 0) & (probability < 1)).all()


@pytest.mark.parametrize("all_bought", [False, True])
def test_where_none_or_all_were_bought_that_is_likely_and_not_sure(all_bought):
    scores = drawn(0.0, count=1000)[0]

    found = PriorCorrection.fit(scores, np.full(1000, all_bought))

    mean = found.probabilities(scores).astype(np.float64).mean()
    assert mean == pytest.approx(1000.5 / 1001 if all_bought else 0.5 / 1001, rel=1e-4)
