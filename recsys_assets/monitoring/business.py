"""What the shop has of its recommendations, a day at a time, and whether it has fallen.

All figures are sums of sessions' outcomes over other sums: revenue over sessions, orders over
sessions, clicks over impressions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import pyarrow as pa

from recsys_assets.monitoring.alerts import Alarm
from recsys_assets.monitoring.metric_drops import FIGURES, falls
from recsys_assets.monitoring.outcomes import TABLE as OUTCOMES
from recsys_assets.monitoring.outcomes import days_judged
from recsys_assets.monitoring.plots import plot_business
from recsys_assets.monitoring.thresholds import FALLEN, OK, TOO_FEW, BusinessThresholds
from recsys_assets.releases.release import Releases
from recsys_assets.storage import Store
from recsys_assets.terminal.figures import as_markdown

_COLUMNS = [
    *("release", "user_id", "clicked", "purchased", "impressions", "orders"),
    *("revenue", "attributed_revenue", "ndcg_at_10", "recall_at_10"),
]


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

    def plot(self) -> str:
        """The figures over the days, as Markdown."""
        return as_markdown(plot_business(self.metrics, self.history), "business metrics")


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
    alerts = falls(metrics, sums, rows["user_id"], before, thresholds)
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
