"""Figures of a classifier. Plain numpy."""

from typing import TypedDict

import numpy as np

_SMALLEST = 1e-12


class CalibrationBin(TypedDict):
    """Examples of similar predicted probability."""

    predicted: float
    observed: float
    count: int


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half; NaN where a class is missing.

    Args:
        label: bool [n].
        score: float [n].
    """
    _, position, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[position]
    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    return float((rank[label].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats."""
    clipped = np.clip(probability, _SMALLEST, 1 - _SMALLEST)
    return float(-np.mean(np.where(label, np.log(clipped), np.log1p(-clipped))))


def calibration(label: np.ndarray, probability: np.ndarray, bins: int = 10) -> list[CalibrationBin]:
    """Mean prediction and observed rate in `bins` parts of equal size, by rising prediction."""
    order = np.argsort(probability, kind="stable")
    return [
        CalibrationBin(
            predicted=float(probability[part].mean()),
            observed=float(label[part].mean()),
            count=len(part),
        )
        for part in np.array_split(order, bins)
        if len(part)
    ]
