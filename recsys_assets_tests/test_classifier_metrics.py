import numpy as np
import pytest

from recsys_assets.metrics import auc, calibration, expected_calibration_error, log_loss

LABEL = np.array([False, False, True, True])


@pytest.mark.parametrize(
    ("score", "expected"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0), ([1, 1, 1, 1], 0.5)]
)
def test_auc(score, expected):
    assert auc(LABEL, np.array(score, dtype=float)) == expected


def test_auc_counts_ties_half():
    assert auc(LABEL, np.array([1.0, 2.0, 2.0, 3.0])) == 0.875


def test_auc_of_one_class_is_not_a_number():
    assert np.isnan(auc(np.array([True]), np.array([1.0])))


def test_log_loss_of_a_coin_is_log_two():
    assert log_loss(LABEL, np.full(4, 0.5)) == pytest.approx(np.log(2))


def test_log_loss_of_a_certain_error_is_finite():
    assert np.isfinite(log_loss(np.array([True]), np.array([0.0])))


def test_calibration_bins_hold_all_examples():
    probability = np.linspace(0, 1, 100)

    bins = calibration(probability > 0.5, probability)

    assert sum(part["count"] for part in bins) == 100
    assert bins[0]["observed"] == 0
    assert bins[-1]["observed"] == 1


def test_calibration_bins_by_hand():
    label = np.array([True, False, True, False])

    low, high = calibration(label, np.array([0.9, 0.1, 0.5, 0.3]), bins=2)

    assert low == {"predicted": pytest.approx(0.2), "observed": 0, "count": 2}
    assert high == {"predicted": pytest.approx(0.7), "observed": 1, "count": 2}


def test_fewer_examples_than_bins_have_a_bin_each():
    bins = calibration(LABEL[1:3], np.array([0.2, 0.1]), bins=10)

    assert [(part["predicted"], part["count"]) for part in bins] == [(0.1, 1), (0.2, 1)]


def test_expected_calibration_error_by_hand():
    # Three examples with .2 on the mean, of which one is positive, and one with .7 that is not.
    predicted, positive, count = np.array([0.6, 0.7]), np.array([1, 0]), np.array([3, 1])

    error = expected_calibration_error(predicted, positive, count)

    assert error == pytest.approx(3 / 4 * abs(0.2 - 1 / 3) + 1 / 4 * 0.7)


def test_expected_calibration_error_of_nothing_is_unknown():
    assert np.isnan(expected_calibration_error(*np.zeros((3, 4))))
