"""Calibration of the ranker: whether of candidates as many are bought as it foretells."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from recsys_assets import metrics
from recsys_assets.evaluation.rolling import Predictions
from recsys_assets.events.contract import distinct

BINS = 20  # of equal size: probabilities lie so close to 0 that bins of equal width would be empty


def calibration_figures(
    users: Sequence[np.ndarray], predictions: Sequence[Predictions]
) -> dict[str, Any]:
    """The candidates of all weeks together, as JSON; intervals leave out groups of customers.

    Args:
        users: by week, object [n], who asked.
        predictions: by week, of the candidates of these requests.
    """
    customers, customer = distinct(np.concatenate(users))
    groups = metrics.jackknife_groups(len(customers))[customer]
    of_weeks = np.split(groups, np.cumsum([len(week) for week in users])[:-1])
    group = np.concatenate(
        [of[week.request] for of, week in zip(of_weeks, predictions, strict=True)]
    )
    probability = np.concatenate([week.probability for week in predictions])
    bought = np.concatenate([week.bought for week in predictions])
    error = _error(probability, bought, group, int(groups.max()) + 1)
    return {
        "candidates": len(bought),
        "predicted": float(probability.mean(dtype=np.float64)),
        "bought": float(bought.mean()),
        "expected_calibration_error": asdict(error),
        "bins": metrics.calibration(bought, probability, BINS),
    }


def _error(
    probability: np.ndarray, bought: np.ndarray, group: np.ndarray, groups: int
) -> metrics.Estimate:
    """Expected calibration error over the same bins with everybody, and without each group."""
    key = group * BINS + metrics.equal_parts(probability, BINS)
    sums = [
        np.bincount(key, values, minlength=groups * BINS).reshape(groups, BINS)
        for values in (probability, bought, np.ones(len(key)))
    ]
    whole = metrics.expected_calibration_error(*(one.sum(axis=0) for one in sums))
    without = metrics.expected_calibration_error(*(one.sum(axis=0) - one for one in sums))
    return metrics.jackknife(float(whole), without)
