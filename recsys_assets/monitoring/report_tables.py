"""Reports as tables of the store, a row a day, for whoever does not read Dagster's event log."""

from dataclasses import asdict

import pyarrow as pa

from recsys_assets.monitoring.business import BusinessMetrics
from recsys_assets.monitoring.drift import DriftReport
from recsys_assets.releases.release import Releases
from recsys_assets.storage import Store

DRIFT = "drift_report"
BUSINESS = "business_metrics"

_MEASUREMENT = pa.struct(
    [
        *((name, pa.string()) for name in ("name", "group", "statistic")),
        *((name, pa.float64()) for name in ("value", "low", "threshold")),
        ("samples", pa.int64()),
        ("affected", pa.float64()),
    ]
)
_ANY = [("day", pa.string()), ("live_release", pa.int64()), ("state", pa.string())]
DRIFT_SCHEMA = pa.schema(
    [
        *_ANY,
        ("samples", pa.int64()),
        ("revenue", pa.float64()),
        ("degraded_share", pa.float64()),
        ("measurements", pa.list_(_MEASUREMENT)),
    ]
)
BUSINESS_SCHEMA = pa.schema(
    [
        *_ANY,
        ("about_day", pa.string()),
        ("sessions", pa.int64()),
        ("revenue", pa.float64()),
        ("attributed_revenue", pa.float64()),
        ("figures", pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))),
    ]
)


def drift_row(report: DriftReport) -> pa.Table:
    """The row of `drift_report`; a day with too few samples has no measurements."""
    row = {
        "day": report.day,
        "live_release": report.live_release,
        "state": report.judged.state,
        "samples": report.judged.samples,
        "revenue": report.revenue,
        "degraded_share": report.degraded_share,
        "measurements": [asdict(one) for one in report.judged.measurements],
    }
    return pa.Table.from_pylist([row], DRIFT_SCHEMA)


def measured_against(store: Store, releases: Releases, day: str) -> int | None:
    """The release that the last report of a day is about; None where there is none any more."""
    table = store.table(DRIFT)
    if not table.has(day):
        return None
    release: int = table.read([day], ["live_release"])["live_release"][0].as_py()
    return release if release in releases.numbers() else None


def business_row(metrics: BusinessMetrics) -> pa.Table:
    """The row of `business_metrics`."""
    row = {
        "day": metrics.day,
        "live_release": metrics.live_release,
        "state": metrics.state,
        "about_day": metrics.about_day,
        "sessions": metrics.sessions,
        "revenue": metrics.revenue,
        "attributed_revenue": metrics.attributed_revenue,
        "figures": [{"name": name, "value": metrics.figures[name]} for name in metrics.figures],
    }
    return pa.Table.from_pylist([row], BUSINESS_SCHEMA)
