import numpy as np
import pytest

from recsys_assets.metrics import auc, calibration, log_loss

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
