"""Checks of features and training examples. Wiring only: the rules are in `quality.py`.

A check of a daily asset looks at the partitions of its run. That the online store equals the
offline tables is checked where it is written, in `assets.py`.
"""

import warnings
from collections import Counter
from collections.abc import Callable
from datetime import date

import dagster as dg
import polars as pl

from recsys_assets.defs.partitions import daily
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets.features.declarations import DAILY_FEATURE_SETS, FeatureSet
from recsys_assets.features.quality import (
    examples_from_the_future,
    from_the_future,
    out_of_range,
    recounted,
)
from recsys_assets.settings.days import days_between
from recsys_assets.storage import Store

# A partitioned check is marked as a preview in Dagster 1.13; without it, a check of one day would
# be filed as one of the whole asset.
warnings.filterwarnings("ignore", "Parameter `partitions_def`", category=dg.PreviewWarning)


def _over_days(
    context: dg.AssetCheckExecutionContext, broken: Callable[[str], dict[str, int]]
) -> dg.AssetCheckResult:
    """Runs a rule on every day of the run and names the days that break it."""
    by_rule: Counter[str] = Counter()
    by_day: dict[str, int] = {}
    for day in sorted(context.partition_keys):
        found = broken(day)
        by_rule.update(found)
        if found:
            by_day[day] = sum(found.values())
    return dg.AssetCheckResult(
        passed=not by_day,
        description=f"materialize again: {', '.join(by_day)}" if by_day else None,
        metadata={
            "days": len(context.partition_keys),
            "broken_rows": dict(by_rule),
            "broken_rows_by_day": by_day,
        },
    )


def _rows(store: Store, table: str, day: str, columns: list[str] | None = None) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(store.table(table).read([day], columns)))


def _range_check(features: FeatureSet) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=f"{features.name}_in_range",
        asset=features.name,
        partitions_def=daily,
        blocking=True,
        description="One row per entity and day; counts present and not negative, shares between "
        "0 and 1, numbers finite, a longer window never less than a shorter one.",
    )
    def check(context: dg.AssetCheckExecutionContext, store: StoreResource) -> dg.AssetCheckResult:
        tables = store.get()
        return _over_days(
            context, lambda day: out_of_range(features, _rows(tables, features.name, day))
        )

    return check


def _future_check(features: FeatureSet) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=f"{features.name}_know_no_future",
        asset=features.name,
        additional_deps=["interactions"],
        partitions_def=daily,
        blocking=True,
        description="Every time in a row is before the row's event_timestamp, and counts of one "
        "day are exactly those of that day's events.",
    )
    def check(context: dg.AssetCheckExecutionContext, store: StoreResource) -> dg.AssetCheckResult:
        tables = store.get()

        def broken(day: str) -> dict[str, int]:
            rows = _rows(tables, features.name, day)
            events = _rows(tables, "interactions", day, [features.key, "event"])
            future = from_the_future(features, rows, date.fromisoformat(day))
            return {**future, **recounted(features, rows, events)}

        return _over_days(context, broken)

    return check


range_checks = [_range_check(features) for features in DAILY_FEATURE_SETS]
future_checks = [_future_check(features) for features in DAILY_FEATURE_SETS]


@dg.asset_check(
    asset="training_examples",
    additional_deps=["interactions"],
    blocking=True,
    description="There is exactly one example per user and item bought in history: the "
    "point-in-time join has neither lost nor doubled a row.",
)
def every_first_purchase_is_an_example(
    store: StoreResource, run_days: RunDays
) -> dg.AssetCheckResult:
    """Counts first purchases in the interactions themselves."""
    tables, span = store.get(), run_days.get()
    days = days_between(span.first_day, span.history_through)
    columns = ["user_id", "item_id", "event"]
    events = pl.LazyFrame(tables.table("interactions").read(days, columns))
    pairs = events.filter(pl.col("event") == "purchase").unique(["user_id", "item_id"])
    bought = pairs.select(pl.len()).collect().item()
    examples = tables.table("training_examples").read(columns=["user_id"]).num_rows
    return dg.AssetCheckResult(
        passed=examples == bought, metadata={"first_purchases": bought, "examples": examples}
    )


@dg.asset_check(
    asset="training_examples",
    blocking=True,
    description="No example knows of an event on its own day or later.",
)
def examples_know_no_future(store: StoreResource) -> dg.AssetCheckResult:
    """Compares each example's own time with the times among its features."""
    columns = ["timestamp", "last_event_at", "first_sold_at", "last_sold_at"]
    rows = store.get().table("training_examples").read(columns=columns)
    broken = examples_from_the_future(pl.DataFrame(pl.from_arrow(rows)))
    return dg.AssetCheckResult(
        passed=not broken, metadata={"rows": rows.num_rows, "broken_rows": broken}
    )
