import numpy as np
import pytest

from recsys_assets import metrics
from recsys_assets.evaluation.calibration import BINS, calibration_figures
from recsys_assets.evaluation.rolling import Predictions

USERS = np.array([f"u{number}" for number in range(40)], dtype=object)


def week(seed, factor=1.0):
    """Candidates of whom as many are bought as is foretold, times a factor."""
    random = np.random.default_rng(seed)
    probability = random.uniform(0, 0.4, size=40 * 250)
    bought = random.random(len(probability)) < probability * factor
    return Predictions(np.repeat(np.arange(40), 250), probability.astype(np.float32), bought)


def test_probabilities_that_come_true_have_a_small_error_and_others_a_large_one():
    right, high = (
        calibration_figures([USERS, USERS], [week(0, factor), week(1, factor)])
        for factor in (1.0, 0.5)
    )

    assert right["candidates"] == 20_000
    assert right["predicted"] == pytest.approx(right["bought"], rel=0.05)
    assert right["expected_calibration_error"]["mean"] < 0.02
    assert high["expected_calibration_error"]["mean"] == pytest.approx(0.1, abs=0.01)
    assert high["expected_calibration_error"]["low"] > 0.08


def test_the_error_is_that_of_the_bins():
    figures = calibration_figures([USERS], [week(0, 0.5)])

    bins = figures["bins"]
    assert [part["count"] for part in bins] == [10_000 // BINS] * BINS
    error = np.mean([abs(part["predicted"] - part["observed"]) for part in bins])
    assert figures["expected_calibration_error"]["mean"] == pytest.approx(error)


def test_limits_are_those_without_each_customer():
    """Of two customers one buys all, the other nothing, of what is foretold as a half."""
    bought = np.array([True, True, False, False])
    predictions = Predictions(np.array([0, 0, 1, 1]), np.full(4, 0.5, np.float32), bought)

    error = calibration_figures([USERS[:2]], [predictions])["expected_calibration_error"]

    assert error["mean"] == pytest.approx(0.5)  # in bins of one candidate each
    assert (error["low"], error["high"]) == (error["mean"], error["mean"])
    assert metrics.jackknife(0.5, np.array([0.5, 0.5])).high == 0.5


def test_a_customer_of_several_weeks_is_left_out_of_all_of_them():
    once = calibration_figures([USERS], [week(0, 0.5)])["expected_calibration_error"]
    twice = calibration_figures([USERS] * 2, [week(0, 0.5)] * 2)["expected_calibration_error"]

    assert twice["high"] - twice["low"] == pytest.approx(once["high"] - once["low"], rel=0.05)
