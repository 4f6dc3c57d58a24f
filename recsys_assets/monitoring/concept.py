"""Whether the scores still mean what they meant: concept drift, on labelled sessions."""

import numpy as np
import polars as pl

from recsys_assets.monitoring.measured import Measurement
from recsys_assets.monitoring.profile import CONCEPT
from recsys_assets.monitoring.resampling import Households
from recsys_assets.monitoring.thresholds import DriftThresholds


def concept(
    earlier: pl.DataFrame,
    labels: pl.DataFrame,
    thresholds: DriftThresholds,
    rng: np.random.Generator,
) -> list[Measurement]:
    """AUC and calibration of a day against the earlier days of the release.

    Args:
        earlier: labelled sessions of the release's earlier days.
        labels: those to judge.
        thresholds: limits, and the samples needed.
        rng: of the resampling.

    Returns:
        `auc`: fall of the mean AUC against the earlier days. `auc_floor`: how far it is below the
        floor, whatever it was. `calibration`: |ln| of the change of observed purchases per
        predicted one. Nothing where there are too few samples, or too few earlier days.
    """
    rated = labels.drop_nulls("auc")
    if len(rated) < thresholds.min_labelled:
        return []
    households = Households.draw(rated["user_id"], thresholds.resamples, rng)
    mean, means = _mean(rated["auc"].to_numpy(), households)
    floor = thresholds.auc_floor
    found = [_shortfall("auc_floor", floor - mean, floor - means, 0.0, thresholds, households)]
    before = earlier.drop_nulls("auc")
    if before["day"].n_unique() < thresholds.min_labelled_days:
        return found
    earlier_households = Households.draw(before["user_id"], thresholds.resamples, rng)
    usual, usuals = _mean(before["auc"].to_numpy(), earlier_households)
    drop = _shortfall(
        "auc", usual - mean, usuals - means, thresholds.auc_drop, thresholds, households
    )
    return [*found, drop, *_calibration(earlier, labels, thresholds, rng)]


def _calibration(
    earlier: pl.DataFrame,
    labels: pl.DataFrame,
    thresholds: DriftThresholds,
    rng: np.random.Generator,
) -> list[Measurement]:
    ratios = []
    for frame in (earlier, labels):
        households = Households.draw(frame["user_id"], thresholds.resamples, rng)
        total, totals = households.sums(frame.select("observed", "predicted").to_numpy())
        if total.min() <= 0 or totals.min() <= 0:
            return []  # nothing was bought, or nothing predicted: there is no ratio
        ratios.append((np.log(total[0] / total[1]), np.log(totals[:, 0] / totals[:, 1])))
    (usual, usuals), (now, nows) = ratios
    change = float(now - usual)
    low = float(np.quantile(np.sign(change) * (nows - usuals), 1 - thresholds.confidence))
    limit = float(np.log(thresholds.calibration_ratio))
    share = 1 - float(np.exp(-abs(change)))
    return [
        Measurement(
            "calibration", CONCEPT, "log_ratio", abs(change), low, limit, len(households), share
        )
    ]


def _shortfall(
    name: str,
    value: float,
    draws: np.ndarray,
    limit: float,
    thresholds: DriftThresholds,
    households: Households,
) -> Measurement:
    low = float(np.quantile(draws, 1 - thresholds.confidence))
    affected = min(max(2 * value, 0.0), 1.0)  # an AUC has 1/2 to lose until it is chance
    return Measurement(name, CONCEPT, "drop", value, low, limit, len(households), affected)


def _mean(numbers: np.ndarray, households: Households) -> tuple[float, np.ndarray]:
    total, totals = households.sums(np.column_stack([numbers, np.ones(len(numbers))]))
    return float(total[0] / total[1]), totals[:, 0] / totals[:, 1]
