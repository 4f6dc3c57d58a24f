"""What the shop has of its recommendations, a day at a time, and whether it has fallen.

All figures are sums of sessions' outcomes over other sums: revenue over sessions, orders over
sessions, clicks over impressions.

A drop, of a day's figures below those of the days before and beyond chance, is relative to the mean
of the days before; its lower bound comes from an upper bound of today's figure, by a bootstrap of
households. What happens to a session or does not is rare on some days, so its bound is that of
Clopper and Pearson (Biometrika 26, 1934). Sessions of a household are alike, and count as no more
than as many independent ones as would vary as much from draw to draw (Korn and Graubard, Survey
Methodology 24, 1998).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from recsys_assets.monitoring.alerts import Alarm
from recsys_assets.monitoring.measurement import Households
from recsys_assets.monitoring.outcomes import TABLE as OUTCOMES
from recsys_assets.monitoring.outcomes import days_judged
from recsys_assets.monitoring.thresholds import FALLEN, OK, TOO_FEW, BusinessThresholds
from recsys_assets.releases.release import Releases
from recsys_assets.storage import Store

_COLUMNS = [
    *("release", "user_id", "clicked", "purchased", "impressions", "orders"),
    *("revenue", "attributed_revenue", "ndcg_at_10", "recall_at_10"),
]
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


@dataclass(frozen=True)
class BusinessMetrics:
    """One day's figures.

    Attributes:
        day: when the last labels became known, YYYY-MM-DD; `about_day`, the sessions' day.
        live_release: the release whose weights gave most of the answers; 0 if there were none.
        sessions: with a known outcome.
        figures: by name; one that cannot be had (no clicks recorded, no orders) is left out.
        state: `ok`, `fallen` or `too_few_samples`.
        alerts: figures that have fallen, most revenue at risk first.
        revenue: of the sessions' attribution windows; `attributed_revenue`, of items that were
            recommended; `impressions`, items shown.
    """

    day: str
    about_day: str
    live_release: int
    sessions: int
    figures: dict[str, float]
    state: str
    alerts: list[Alarm]
    revenue: float
    attributed_revenue: float
    impressions: float

    def metadata(self) -> dict[str, Any]:
        """Plain values for the asset's metadata; sensors read nothing else."""
        return {
            "day": self.day,
            "about_day": self.about_day,
            "live_release": self.live_release,
            "sessions": self.sessions,
            **self.figures,
            "revenue": round(self.revenue, 2),
            "attributed_revenue": round(self.attributed_revenue, 2),
            "state": self.state,
            "alerts": [alert.as_dict() for alert in self.alerts],
        }


@dataclass(frozen=True)
class BusinessReport:
    """One day, and the earlier days that it was compared with, from the oldest on."""

    metrics: BusinessMetrics
    history: list[BusinessMetrics]

    def metadata(self) -> dict[str, Any]:
        """Plain values for the asset's metadata; sensors read nothing else."""
        return self.metrics.metadata()


_DEFAULT = BusinessThresholds()


def measure(
    store: Store, day: str, attribution_hours: int, thresholds: BusinessThresholds = _DEFAULT
) -> BusinessReport:
    """Figures of the outcomes that became known on a day, and of the days before it.

    Args:
        store: holds `outcomes` of the day; of the days before, those that are there are compared.
        day: YYYY-MM-DD.
        attribution_hours: of the outcomes.
        thresholds: limits, and how far to look back.

    Raises:
        MissingPartition: `outcomes` lacks the day.
    """
    table = store.table(OUTCOMES)
    first = date.fromisoformat(day) - timedelta(days=thresholds.history_days)
    days = [d for d in table.days() if first.isoformat() <= d < day]
    history: list[BusinessMetrics] = []
    for known in days:
        rows = table.read([known], columns=_COLUMNS)
        history.append(business_metrics(rows, [], known, thresholds, attribution_hours))
    rows = _by_weights(table.read([day], columns=_COLUMNS), Releases(store).refreshes())
    metrics = business_metrics(rows, history, day, thresholds, attribution_hours)
    return BusinessReport(metrics, history)


def business_metrics(
    outcomes: pa.Table,
    history: Sequence[BusinessMetrics],
    day: str,
    thresholds: BusinessThresholds,
    attribution_hours: int,
) -> BusinessMetrics:
    """Figures of one day of `outcomes`, compared with those of earlier days.

    Days compared with are those of the same weekday, where there are enough of them.

    Args:
        outcomes: rows of the table's schema.
        history: earlier days, in any order.
        day: the partition of the outcomes, YYYY-MM-DD.
        thresholds: limits and sample sizes.
        attribution_hours: of the outcomes.
    """
    rows = pl.DataFrame(outcomes)
    sums = _sums(rows)
    totals = {name: float(sums[name].sum()) for name in sums.columns}
    figures = {
        name: factor * totals[top] / totals[bottom]
        for name, top, bottom, factor in FIGURES
        if totals[bottom] > 0
    }
    enough = len(rows) >= thresholds.min_sessions
    metrics = BusinessMetrics(
        day=day,
        about_day=days_judged(day, attribution_hours)[0],
        live_release=_main_release(rows),
        sessions=len(rows),
        figures=figures,
        state=OK if enough else TOO_FEW,
        alerts=[],
        revenue=totals["revenue"],
        attributed_revenue=totals["attributed"],
        impressions=totals["impressions"],
    )
    before = _comparable(metrics, history, thresholds)
    if not enough or not before:
        return metrics
    alerts = metric_drops(metrics, sums, rows["user_id"], before, thresholds)
    return replace(metrics, state=FALLEN if alerts else OK, alerts=alerts)


def _by_weights(outcomes: pa.Table, brought: Mapping[int, int]) -> pa.Table:
    """With the release that brought its weights in the place of each refresh."""
    releases = [brought.get(release, release) for release in outcomes["release"].to_pylist()]
    column = outcomes.column_names.index("release")
    return outcomes.set_column(column, "release", pa.array(releases, pa.int64()))


def _main_release(rows: pl.DataFrame) -> int:
    """The release with most rows, the newest of equals; 0 without rows."""
    counts = rows["release"].value_counts().sort("count", "release", descending=True)
    return int(counts["release"][0]) if len(counts) else 0


def _sums(rows: pl.DataFrame) -> pl.DataFrame:
    """What figures are made of, one row a session, float64.

    Where the source records no click at all, `clicked` is null and nothing is clickable.
    """
    clickable = pl.col("clicked").is_not_null()
    rated = pl.col("ndcg_at_10").is_not_null()
    return rows.select(
        sessions=pl.repeat(1.0, pl.len()),
        impressions=pl.col("impressions").cast(pl.Float64),
        clicks=pl.col("clicked").list.len().cast(pl.Float64).fill_null(0),
        clickable=pl.when(clickable).then(pl.col("impressions").cast(pl.Float64)).otherwise(0.0),
        orders=pl.col("orders").cast(pl.Float64),
        with_order=(pl.col("orders") > 0).cast(pl.Float64),
        with_hit=(pl.col("purchased").list.len() > 0).cast(pl.Float64),
        revenue=pl.col("revenue"),
        attributed=pl.col("attributed_revenue"),
        ndcg=pl.col("ndcg_at_10").fill_null(0),
        recall=pl.col("recall_at_10").fill_null(0),
        rated=rated.cast(pl.Float64),
    )


def _comparable(
    metrics: BusinessMetrics, history: Sequence[BusinessMetrics], thresholds: BusinessThresholds
) -> list[BusinessMetrics]:
    judged = [m for m in history if m.state != TOO_FEW]
    weekday = date.fromisoformat(metrics.day).weekday()
    same = [m for m in judged if date.fromisoformat(m.day).weekday() == weekday]
    if len(same) >= thresholds.min_weekday_days:
        return same
    return judged if len(judged) >= thresholds.min_history_days else []


def metric_drops(
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
