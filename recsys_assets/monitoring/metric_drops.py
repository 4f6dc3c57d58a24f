"""Figures of a day that have fallen below those of the days before, beyond chance.

A fall is relative to the mean of the days before; its lower bound comes from an upper bound of
today's figure, by a bootstrap of households. What happens to a session or does not is rare on some
days, so its bound is that of Clopper and Pearson (Biometrika 26, 1934). Sessions of a household
are alike, and count as no more than as many independent ones as would vary as much from draw to
draw (Korn and Graubard, Survey Methodology 24, 1998).
"""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys_assets.monitoring.alerts import Alarm
from recsys_assets.monitoring.measurement import Households
from recsys_assets.monitoring.thresholds import BusinessThresholds

if TYPE_CHECKING:
    from recsys_assets.monitoring.business import BusinessMetrics

GROUP = "business"
PER_THOUSAND = "revenue_per_thousand_recommendations"
# Name of each figure, what is summed, over what, and a factor.
FIGURES = (
    ("ctr", "clicks", "clickable", 1.0),
    ("conversion", "with_order", "sessions", 1.0),
    ("slate_conversion", "with_hit", "sessions", 1.0),
    ("revenue_per_session", "revenue", "sessions", 1.0),
    ("average_order_value", "revenue", "orders", 1.0),
    (PER_THOUSAND, "attributed", "impressions", 1000.0),
    ("ndcg_at_10", "ndcg", "rated", 1.0),
    ("recall_at_10", "recall", "rated", 1.0),
)
_EXACT = {"conversion", "slate_conversion"}  # each session counts 0 or 1
_OF_SLATES = {"ctr", "slate_conversion", "ndcg_at_10", "recall_at_10"}
_LEAST_LEFT = 0.1  # keeps what is left of a figure from dividing by nothing


def falls(
    metrics: "BusinessMetrics",
    sums: pl.DataFrame,
    users: pl.Series,
    history: Sequence["BusinessMetrics"],
    thresholds: BusinessThresholds,
) -> list[Alarm]:
    """Alerts of the figures that have fallen, most revenue at risk first.

    Args:
        metrics: the day.
        sums: what its figures are made of, one row a session.
        users: of the same rows.
        history: the days to compare with, at least one.
        thresholds: limits.
    """
    rng = np.random.default_rng(date.fromisoformat(metrics.day).toordinal())
    households = Households.draw(users, thresholds.resamples, rng)
    total, draws = households.sums(sums.to_numpy())
    column = {name: number for number, name in enumerate(sums.columns)}
    alerts = []
    for name, top, bottom, factor in FIGURES:
        before = np.array([m.figures[name] for m in history if name in m.figures])
        if name not in metrics.figures or not len(before) or before.mean() <= 0:
            continue
        pair = [column[top], column[bottom]]
        if name in _EXACT:
            trials = _independent(total[pair], draws[:, pair], len(households))
            share = total[pair[0]] / total[pair[1]]
            high = _exact_high(share * trials, trials, thresholds.confidence)
        else:
            high = factor * _bootstrap_high(draws[:, pair], thresholds.confidence)
        alerts.append(_fall(name, metrics, high, before, thresholds))
    found = [alert for alert in alerts if alert.low > alert.threshold]
    return sorted(found, key=lambda alert: (-alert.revenue_at_risk, alert.name))


def _fall(
    name: str,
    metrics: "BusinessMetrics",
    high: float,
    before: np.ndarray,
    thresholds: BusinessThresholds,
) -> Alarm:
    usual = float(before.mean())
    spread = float(before.std(ddof=1)) if len(before) > 1 else 0.0
    value = 1 - metrics.figures[name] / usual
    return Alarm(
        name=name,
        group=GROUP,
        cause=f"{GROUP}: {name}",
        statistic="fall",
        value=value,
        low=1 - high / usual,
        threshold=max(thresholds.fall, thresholds.sigmas * spread / usual),
        samples=metrics.sessions,
        revenue_at_risk=round(_shortfall(name, metrics, usual, max(value, 0.0)), 2),
    )


def _shortfall(name: str, metrics: "BusinessMetrics", usual: float, fall: float) -> float:
    """Money that is missing on the day, if the figure had kept its usual value.

    Of a figure of recommendations it is missing from what they brought, of any other from all.
    """
    if name == PER_THOUSAND:
        return fall * usual * metrics.impressions / 1000
    base = metrics.attributed_revenue if name in _OF_SLATES else metrics.revenue
    return base * fall / max(1 - fall, _LEAST_LEFT)


def _independent(total: np.ndarray, draws: np.ndarray, households: int) -> float:
    """How many independent sessions say as much as these do about a share of them.

    Args:
        total: sessions in which it happened, and all.
        draws: the same of each draw, [resamples, 2].
        households: that the sessions are of; where it happened never or always, draws say nothing,
            and a household counts as one session.
    """
    drawn = draws[draws[:, 1] > 0]
    variance = float(np.var(drawn[:, 0] / drawn[:, 1]))
    share = total[0] / total[1]
    worth = share * (1 - share) / variance if variance > 0 else households
    return float(min(worth, total[1]))


def _exact_high(count: float, of: float, confidence: float) -> float:
    """Upper bound of a probability from `count` of `of` independent trials, whole or not."""
    from scipy.stats import beta

    return 1.0 if count >= of else float(beta.ppf(confidence, count + 1, of - count))


def _bootstrap_high(draws: np.ndarray, confidence: float) -> float:
    """Upper bound of a ratio of sums, draws of [top, bottom]."""
    drawn = draws[draws[:, 1] > 0]
    return float(np.quantile(drawn[:, 0] / drawn[:, 1], confidence)) if len(drawn) else np.inf
