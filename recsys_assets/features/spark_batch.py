"""Daily feature snapshots by Spark, driven by the declarations.

A range of days is computed in one pass, so a backfill of a year is one job. A day reads the
events of the longest window and the day before it (29 days), whatever the length of history.

How each kind is computed, so that no step grows with days times entities:
- counts and sums: one row per entity and day, then sums over a range of days;
- different values: +1 on each day a value occurs and -1 when it leaves the window or occurs
  again, whichever is first; the running total is the number of different values in the window;
- most frequent values: counts per value and day, joined with the snapshots that they fall into;
- a row is written only for days on which some value changes: an event enters or leaves a window
  (`FeatureSet.change_offsets`).
"""

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

from recsys_assets.features.declarations import (
    FeatureSet,
    FirstTime,
    LastDayRatio,
    LastTime,
    Ratio,
    WindowAggregate,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

DAY_SECONDS = 86_400
CATEGORY = "category_l2"  # the only column that declarations take from the catalogue
_RATIO_PARTS = ("numerator", "denominator")
_SPARK = {"int64": "bigint", "float64": "double", "string": "string"}


def compute_snapshots(
    features: FeatureSet,
    events: "DataFrame",
    days: tuple[int, int],
    first_times: "DataFrame | None" = None,
) -> "DataFrame":
    """Rows of a feature set for every day of a range.

    Args:
        features: What to compute.
        events: Columns of `interactions`, `category_l2` where a declaration names it, and
            `epoch_day` (int); it must reach `features.lookback_days` before the range.
        days: First and last epoch day of the range, both included.
        first_times: Key and epoch seconds of each entity's first event, column `first_time`.

    Returns:
        Key, `event_timestamp`, the feature columns in declared order, and `epoch_day`.
    """
    from pyspark.sql import functions as f

    events = events.repartition(features.key).persist()
    changes = _change_days(features, events, days)
    rows = _with_windows(features, _timeline(features, events, changes))
    for feature in features.of(WindowAggregate):
        if feature.function == "mode":
            rows = rows.join(
                _modes(features.key, feature, events, changes), [features.key, "epoch_day"], "left"
            )
    for ratio in features.of(Ratio):
        rows = rows.withColumn(ratio.name, _divide(f.col(ratio.numerator), ratio.denominator))
    if first_times is not None:
        rows = _with_first_times(features, rows, first_times)
    moment = f.timestamp_seconds((f.col("epoch_day") + 1) * DAY_SECONDS)
    columns = [f.col(name).cast(_SPARK[dtype]) for name, dtype in features.columns.items()]
    return rows.select(features.key, moment.alias("event_timestamp"), *columns, "epoch_day")


def with_categories(events: "DataFrame", history: "DataFrame") -> "DataFrame":
    """Events with the category that their item was in on their day, as far as was seen by then.

    What was seen first of an item also counts for the days before.

    Args:
        events: `item_id`, `epoch_day` and more.
        history: the table `catalogue_history`.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    ordered = Window.partitionBy("item_id").orderBy("seen_from")
    seen = f.unix_date("seen_from")
    spans = history.select(
        "item_id",
        CATEGORY,
        f.when(f.row_number().over(ordered) > 1, seen).alias("_since"),
        f.lead(seen).over(ordered).alias("_until"),
    )
    day = f.col("epoch_day")
    known = (f.col("_since").isNull() | (f.col("_since") <= day)) & (
        f.col("_until").isNull() | (f.col("_until") > day)
    )
    of_item = events["item_id"] == spans["item_id"]
    joined = events.join(spans, of_item & known, "left").drop(spans["item_id"])
    return joined.drop("_since", "_until")


def first_events(key: str, feature: FirstTime, events: "DataFrame") -> "DataFrame":
    """Each entity's first matching event of each day: key, `epoch_day` and `first_time` (seconds).

    All of history in it is the least of these, whichever days have been put right since.
    """
    from pyspark.sql import functions as f

    seconds = f.unix_seconds(f.min("timestamp")).alias("first_time")
    return events.where(feature.where).groupBy(key, "epoch_day").agg(seconds)


def _change_days(features: FeatureSet, events: "DataFrame", days: tuple[int, int]) -> "DataFrame":
    """Key and epoch_day of every row to write."""
    from pyspark.sql import functions as f

    offsets = f.array(*[f.col("epoch_day") + offset for offset in features.change_offsets])
    changes = (
        events.select(features.key, "epoch_day")
        .distinct()
        .select(features.key, f.explode(offsets).alias("epoch_day"))
    )
    return changes.where(f.col("epoch_day").between(*days)).distinct().persist()


def _timeline(features: FeatureSet, events: "DataFrame", changes: "DataFrame") -> "DataFrame":
    """One row per entity and day with events or changes: daily parts, all of them additive."""
    from pyspark.sql import functions as f

    key = features.key
    parts = [_daily_parts(features, events), changes.withColumn("_write", f.lit(1))]
    parts += [
        _distinct_deltas(key, feature, events)
        for feature in features.of(WindowAggregate)
        if feature.function == "distinct"
    ]
    union: DataFrame = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), parts)
    times = {feature.name for feature in features.of(LastTime)}
    measures = [name for name in union.columns if name not in (key, "epoch_day")]
    return union.groupBy(key, "epoch_day").agg(
        *[(f.max if name in times else f.sum)(name).alias(name) for name in measures]
    )


def _daily_parts(features: FeatureSet, events: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as f

    def summed(expression: str, where: str) -> "Column":
        return f.sum(f.when(f.expr(where), f.expr(expression)))

    parts = [
        summed(feature.expression, feature.where).alias(feature.name)
        for feature in features.of(WindowAggregate)
        if feature.function in ("count", "sum")
    ]
    for time in features.of(LastTime):
        seconds = f.unix_seconds("timestamp")
        parts.append(f.max(f.when(f.expr(time.where), seconds)).alias(time.name))
    for ratio in features.of(LastDayRatio):
        parts += [
            summed(getattr(ratio, part), ratio.where).alias(f"{ratio.name}_{part}")
            for part in _RATIO_PARTS
        ]
    return events.groupBy(features.key, "epoch_day").agg(*parts)


def _distinct_deltas(key: str, feature: WindowAggregate, events: "DataFrame") -> "DataFrame":
    """Changes of the number of different values in each window, by entity and day."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    value = f.expr(feature.expression).alias("value")
    days = events.where(feature.where).select(key, value, "epoch_day").dropna().distinct()
    again = f.lead("epoch_day").over(Window.partitionBy(key, "value").orderBy("epoch_day"))
    names = [feature.column(window) for window in feature.windows]

    def change(day: "Column", amounts: dict[str, int]) -> "Column":
        return f.struct(
            day.alias("epoch_day"), *[f.lit(amounts.get(name, 0)).alias(name) for name in names]
        )

    arrival = change(f.col("epoch_day"), dict.fromkeys(names, 1))
    departures = [
        change(f.least(f.col("epoch_day") + window, f.col("again")), {name: -1})
        for name, window in zip(names, feature.windows, strict=True)
    ]
    return (
        days.withColumn("again", again)
        .select(key, f.inline(f.array(arrival, *departures)))
        .groupBy(key, "epoch_day")
        .agg(*[f.sum(name).alias(name) for name in names])
    )


def _with_windows(features: FeatureSet, timeline: "DataFrame") -> "DataFrame":
    """Window columns on the rows to write."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    ordered = Window.partitionBy(features.key).orderBy("epoch_day")
    columns = {}
    for feature in features.of(WindowAggregate):
        for window in feature.windows:
            frame = ordered.rangeBetween(1 - window, 0)
            name = feature.column(window)
            if feature.function in ("count", "sum"):
                total = f.coalesce(f.sum(feature.name).over(frame), f.lit(0))
                columns[name] = total if feature.scale == 1 else total / float(feature.scale)
            elif feature.function == "distinct":
                running = ordered.rangeBetween(Window.unboundedPreceding, 0)
                columns[name] = f.coalesce(f.sum(name).over(running), f.lit(0))
    for time in features.of(LastTime):
        reach = Window.unboundedPreceding if time.within is None else 1 - time.within
        columns[time.name] = f.max(time.name).over(ordered.rangeBetween(reach, 0))
    for ratio in features.of(LastDayRatio):
        frame = ordered.rangeBetween(1 - ratio.within, 0)
        numerator, denominator = (
            f.last(f"{ratio.name}_{part}", ignorenulls=True).over(frame) for part in _RATIO_PARTS
        )
        columns[ratio.name] = f.try_divide(numerator, denominator) / float(ratio.scale)
    return timeline.withColumns(columns).where("_write > 0")


def _modes(
    key: str, feature: WindowAggregate, events: "DataFrame", changes: "DataFrame"
) -> "DataFrame":
    """Most frequent value of each window, by entity and day to write."""
    from pyspark.sql import functions as f

    value = f.expr(feature.expression).alias("value")
    daily = (
        events.where(feature.where)
        .select(key, value, f.col("epoch_day").alias("on_day"))
        .dropna()
        .groupBy(key, "value", "on_day")
        .agg(f.count("*").alias("n"))
    )
    longest = max(feature.windows)
    within = (f.col("on_day") <= f.col("epoch_day")) & (
        f.col("on_day") > f.col("epoch_day") - longest
    )
    counts = (
        changes.join(daily, key)
        .where(within)
        .groupBy(key, "epoch_day", "value")
        .agg(
            *[
                f.sum(f.when(f.col("on_day") > f.col("epoch_day") - w, f.col("n"))).alias(f"n_{w}")
                for w in feature.windows
            ]
        )
    )
    best: Callable[[int], Column] = lambda w: f.min(  # noqa: E731
        f.when(f.col(f"n_{w}") > 0, f.struct(-f.col(f"n_{w}"), f.col("value")))
    )["value"].alias(feature.column(w))
    return counts.groupBy(key, "epoch_day").agg(*[best(w) for w in feature.windows])


def _with_first_times(
    features: FeatureSet, rows: "DataFrame", first_times: "DataFrame"
) -> "DataFrame":
    """First times known at the end of each row's day."""
    from pyspark.sql import functions as f

    (feature,) = features.of(FirstTime)
    known = f.col("first_time") < (f.col("epoch_day") + 1) * DAY_SECONDS
    joined = rows.join(first_times.select(features.key, "first_time"), features.key, "left")
    return joined.withColumn(feature.name, f.when(known, f.col("first_time")))


def _divide(numerator: "Column", denominator: str) -> "Column":
    from pyspark.sql import functions as f

    return f.try_divide(numerator, f.col(denominator))
