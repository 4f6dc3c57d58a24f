"""Daily feature snapshots by Spark, driven by the declarations.

A range of days is computed in one pass, so a backfill of a year is one job. A day reads the
events of the longest window and the day before it (29 days), whatever the length of history.

How each kind is computed, so that no step grows with days times entities:
- counts and sums: one row per entity and day, then sums over a range of days;
- different values: +1 on each day a value occurs and -1 when it leaves the window or occurs
  again, whichever is first; the running total is the number of different values in the window;
- most frequent values: counts per value and day, joined with the snapshots that they fall into;
- a row is written only for days on which some value changes: an event enters or leaves a window
  (`FeatureSet.change_offsets`), or a promotion begins or ends.
"""

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

from recsys_assets.features.declarations import (
    FeatureSet,
    FirstTime,
    LastDayRatio,
    LastTime,
    PlannedValue,
    Ratio,
    WindowAggregate,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

DAY_SECONDS = 86_400
_RATIO_PARTS = ("numerator", "denominator")


def compute_snapshots(
    features: FeatureSet,
    events: "DataFrame",
    days: tuple[int, int],
    first_times: "DataFrame | None" = None,
    planned: "DataFrame | None" = None,
) -> "DataFrame":
    """Rows of a feature set for every day of a range.

    Args:
        features: What to compute.
        events: Columns of `interactions`, `category_l2` where a declaration names it, and
            `epoch_day` (int); it must reach `features.lookback_days` before the range.
        days: First and last epoch day of the range, both included.
        first_times: Key and epoch seconds of each entity's first event, column `first_time`.
        planned: Key, `epoch_day` on which a planned value changes, and the planned columns.

    Returns:
        Key, `event_timestamp`, the feature columns in declared order, and `epoch_day`.
    """
    from pyspark.sql import functions as f

    events = events.repartition(features.key).persist()
    changes = _change_days(features, events, planned, days)
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
    if planned is not None:
        rows = _with_planned(features, rows, planned)
    moment = f.timestamp_seconds((f.col("epoch_day") + 1) * DAY_SECONDS)
    columns = [f.col(name).cast(dtype.replace("int64", "bigint").replace("float64", "double"))
               for name, dtype in features.columns.items()]
    return rows.select(
        features.key, moment.alias("event_timestamp"), *columns, "epoch_day"
    )


def first_events(key: str, feature: FirstTime, events: "DataFrame") -> "DataFrame":
    """Each entity's first matching event: key, `epoch_day` and `first_time` (epoch seconds)."""
    from pyspark.sql import functions as f

    matching = events.where(feature.where)
    seconds = f.unix_seconds(f.min("timestamp")).alias("first_time")
    return matching.groupBy(key).agg(f.min("epoch_day").alias("epoch_day"), seconds)


def planned_changes(promotions: "DataFrame", days: tuple[int, int], start: int) -> "DataFrame":
    """Days on which an item's promotion values change, with the values from then on.

    Args:
        promotions: item_id, valid_from, valid_to, display, mailer.
        days: First and last epoch day, both included.
        start: First epoch day of history; values valid then count as changed.

    Returns:
        item_id, epoch_day (int), display, mailer (0 where no promotion is valid).
    """
    from pyspark.sql import functions as f

    first, last = days
    # Promotion valid at (day + 1) 00:00, that is on snapshot days since <= day < until.
    since = f.ceil(f.unix_micros("valid_from") / (DAY_SECONDS * 1e6)) - 1
    until = f.ceil(f.unix_micros("valid_to") / (DAY_SECONDS * 1e6)) - 1
    spans = (
        promotions.withColumn("since", f.greatest(since, f.lit(first - 1)))
        .withColumn("until", f.least(until, f.lit(last + 1)))
        .where("since < until")
    )
    daily = (
        spans.withColumn("epoch_day", f.explode(f.expr("sequence(since, until - 1)")))
        .groupBy("item_id", "epoch_day")
        .agg(f.max("display").alias("display"), f.max("mailer").alias("mailer"))
    )
    before = daily.withColumn("epoch_day", f.col("epoch_day") + 1).where(f"epoch_day > {start}")
    before = before.withColumnsRenamed({"display": "display_before", "mailer": "mailer_before"})
    joined = daily.join(before, ["item_id", "epoch_day"], "full").fillna(0.0)
    changed = joined.where("display != display_before OR mailer != mailer_before")
    return changed.where(f.col("epoch_day").between(first, last)).select(
        "item_id", f.col("epoch_day").cast("int"), "display", "mailer"
    )


def _change_days(
    features: FeatureSet, events: "DataFrame", planned: "DataFrame | None", days: tuple[int, int]
) -> "DataFrame":
    """Key and epoch_day of every row to write."""
    from pyspark.sql import functions as f

    offsets = f.array(*[f.col("epoch_day") + offset for offset in features.change_offsets])
    changes = (
        events.select(features.key, "epoch_day")
        .distinct()
        .select(features.key, f.explode(offsets).alias("epoch_day"))
    )
    if planned is not None:
        changes = changes.unionByName(planned.select(features.key, "epoch_day"))
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
    days = days.withColumn("again", again)
    arrivals = days.select(
        key, "epoch_day", *[f.lit(1).alias(feature.column(w)) for w in feature.windows]
    )
    departures = [
        days.select(
            key,
            f.least(f.col("epoch_day") + w, f.col("again")).alias("epoch_day"),
            f.lit(-1).alias(feature.column(w)),
        )
        for w in feature.windows
    ]
    union: DataFrame = reduce(
        lambda a, b: a.unionByName(b, allowMissingColumns=True), [arrivals, *departures]
    )
    return union.groupBy(key, "epoch_day").agg(
        *[f.sum(feature.column(w)).alias(feature.column(w)) for w in feature.windows]
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


def _with_planned(features: FeatureSet, rows: "DataFrame", planned: "DataFrame") -> "DataFrame":
    raise NotImplementedError


def _divide(numerator: "Column", denominator: str) -> "Column":
    from pyspark.sql import functions as f

    return f.try_divide(numerator, f.col(denominator))
