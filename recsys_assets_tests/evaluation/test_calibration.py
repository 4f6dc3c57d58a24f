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
    """Of three customers one buys what is as likely as not, the others what is sure."""
    foretold = np.array([0.5, 0.98, 0.99], np.float32)
    predictions = Predictions(np.arange(3), foretold, np.array([True, True, True]))

    error = calibration_figures([USERS[:3]], [predictions])["expected_calibration_error"]

    of_each = 1 - foretold.astype(float)  # in bins of one candidate each
    without = (of_each.sum() - of_each) / 2
    expected = metrics.jackknife(of_each.mean(), without)
    assert list(error.values()) == pytest.approx([expected.mean, expected.low, expected.high])


def test_a_customer_of_several_weeks_is_left_out_of_all_of_them():
    once = calibration_figures([USERS], [week(0, 0.5)])["expected_calibration_error"]
    twice = calibration_figures([USERS] * 2, [week(0, 0.5)] * 2)["expected_calibration_error"]

    assert twice["high"] - twice["low"] == pytest.approx(once["high"] - once["low"], rel=0.05)
