"""Evidently's page of a day's drift: distributions to look at, beside the figures that decide."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsys_assets.monitoring.drift import DriftReport
from recsys_assets.monitoring.profile import Usual, purchase_columns
from recsys_assets.monitoring.traffic import Traffic, request_columns
from recsys_assets.storage import Store

if TYPE_CHECKING:
    import pandas as pd

PAGE = "drift.html"
_ROWS = 1_000
_REQUEST_COLUMNS = (
    *("hour", "device", "recency_days", "events_7d", "purchases_28d", "spend_28d"),
    *("basket_value_28d", "discount_share_28d", "top_category_28d"),
)
_CATEGORIES = 20
_REST = "(other)"
# Evidently cannot compare with nothing at all.
_NOTHING = "<!doctype html><title>{day}</title><p>{day}: neither requests nor purchases.</p>"


def write_report(store: Store, report: DriftReport) -> str:
    """Publishes the page as artifact `drift_report/<day>`.

    A thousand requests and a thousand purchased lines of each side are drawn, with a dozen
    columns: enough to see a distribution, and the page is made in seconds. Evidently leaves
    missing values out; they are in the figures of `measurement.py`. The page of a day without
    any traffic says so.

    Args:
        store: where the page goes.
        report: the day, with its frames and those of its reference.

    Returns:
        URL of the page.
    """
    usual = Usual.fit(report.reference.purchases)
    sides = (report.reference, report.current)
    expected, actual = (_sample(traffic, usual, report) for traffic in sides)
    shared = [name for name in expected.columns if name in actual.columns]
    artifact = store.artifact(f"drift_report/{report.day}")
    with artifact.new_version() as draft:
        page = draft.path / PAGE
        if shared:
            _write_page(expected[shared], actual[shared], page)
        else:
            page.write_text(_NOTHING.format(day=report.day), encoding="utf-8")
    return f"{artifact.url}/{draft.version}/{PAGE}"


def _write_page(expected: "pd.DataFrame", actual: "pd.DataFrame", page: Path) -> None:
    """Compares frames of the same columns, at least one."""
    from evidently import (  # type: ignore[import-untyped]
        DataDefinition,
        Dataset,
        Report,
    )
    from evidently.presets import DataDriftPreset  # type: ignore[import-untyped]

    texts = [name for name in expected.columns if expected[name].dtype == object]
    for name in texts:
        _fold(expected, actual, name)
    definition = DataDefinition(
        numerical_columns=[name for name in expected.columns if name not in texts],
        categorical_columns=texts,
    )
    before, now = (
        Dataset.from_pandas(frame, data_definition=definition) for frame in (expected, actual)
    )
    Report([DataDriftPreset(method="psi")]).run(now, before).save_html(str(page))


def _sample(traffic: Traffic, usual: Usual, report: DriftReport) -> "pd.DataFrame":
    """Columns drawn from requests and from purchases: a row joins nothing across the two."""
    import pandas as pd

    rng = np.random.default_rng(date.fromisoformat(report.day).toordinal())
    requests = request_columns(traffic.requests, report.time_zone)
    asked = {name: requests[name] for name in _REQUEST_COLUMNS if name in requests}
    bought = purchase_columns(traffic.purchases, usual)
    columns = {**_drawn(asked, rng), **_drawn(bought, rng)}
    # Evidently cannot take a column that holds nothing at all.
    known = {n: column for n, column in columns.items() if column.notna().any()}
    return pd.DataFrame(known)


def _drawn(columns: dict[str, np.ndarray], rng: np.random.Generator) -> "dict[str, pd.Series]":
    import pandas as pd

    count = len(next(iter(columns.values())))
    rows = rng.permutation(count)[:_ROWS]
    return {name: pd.Series(column[rows]).replace("", None) for name, column in columns.items()}


def _fold(expected: "pd.DataFrame", actual: "pd.DataFrame", name: str) -> None:
    """Makes one category of all but the reference's most frequent ones."""
    top = expected[name].value_counts().index[:_CATEGORIES]
    for frame in (expected, actual):
        frame[name] = frame[name].where(frame[name].isin(top) | frame[name].isna(), _REST)
