"""The self-maintained release against the first one, frozen: the same sessions, paired."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from recsys_assets.events.contract import distinct
from recsys_assets.metrics import bootstrap
from recsys_assets.retraining.comparison import METRICS, quality
from recsys_assets.storage import Store
from replay.record import METHODS, read_slates

_WEEK = 7


@dataclass(frozen=True)
class DayQuality:
    """Sessions of a day with something relevant.

    `users` is object [n]; `values` has float64 [n] by method and metric.
    """

    day: str
    users: np.ndarray
    values: dict[tuple[str, str], np.ndarray]


def labelled_quality(store: Store, days: Sequence[str]) -> list[DayQuality]:
    """Quality of the days whose outcomes are all known; the last day or so is not among them."""
    table = store.table("outcomes")
    known = table.days()
    if not known:
        return []
    rows = table.read(known, ["user_id", "timestamp", "relevant"]).to_pylist()
    relevant = {
        (row["user_id"], int(row["timestamp"].timestamp())): frozenset(row["relevant"])
        for row in rows
        if row["relevant"]
    }
    return [_of_day(store, day, relevant) for day in days if _after(day) <= known[-1]]


def _of_day(store: Store, day: str, relevant: dict[tuple[str, int], frozenset[str]]) -> DayQuality:
    slates = read_slates(store, day)
    keys = [key for key in slates["live"] if key in relevant]
    wanted = [relevant[key] for key in keys]
    values = {
        (method, metric): array
        for method in METHODS
        for metric, array in quality([slates[method][key] for key in keys], wanted).items()
    }
    return DayQuality(day, np.array([user for user, _ in keys], dtype=object), values)


def by_week(
    days: Sequence[DayQuality], methods: tuple[str, str] = METHODS
) -> dict[str, dict[str, Any]]:
    """Means over households and paired differences by week (its first day), and of all days.

    Args:
        days: in order.
        methods: whose values are compared; the difference is the first less the second.
    """
    if not days:
        return {}
    first = date.fromisoformat(days[0].day)
    weeks: dict[str, list[DayQuality]] = {}
    for day in days:
        age = (date.fromisoformat(day.day) - first).days
        start = first + timedelta(days=age - age % _WEEK)
        weeks.setdefault(start.isoformat(), []).append(day)
    spans = {**weeks, "all": list(days)}
    return {week: _compared(of_week, methods) for week, of_week in spans.items()}


def _compared(days: Sequence[DayQuality], methods: tuple[str, str]) -> dict[str, Any]:
    households, owner = distinct(np.concatenate([day.users for day in days]))
    counts = np.bincount(owner)
    compared: dict[str, Any] = {"sessions": len(owner), "households": len(households)}
    for metric in METRICS:
        one, other = (
            np.bincount(owner, np.concatenate([day.values[method, metric] for day in days]))
            / counts
            for method in methods
        )
        difference = bootstrap(one - other)
        compared[metric] = {
            methods[0]: float(one.mean()),
            methods[1]: float(other.mean()),
            "difference": difference.mean,
            "interval": [difference.low, difference.high],
        }
    return compared


def _after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
