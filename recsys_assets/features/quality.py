"""What must hold of feature snapshots and training examples; counts of rows that break it."""

from datetime import date, timedelta
from itertools import pairwise

import polars as pl

from recsys_assets.features.declarations import FeatureSet, FirstTime, LastTime, WindowAggregate
from recsys_assets.settings.days import midnight

_SHARES = ("discount_share_28d", "discount")
_ONE_DAY = 1


def out_of_range(features: FeatureSet, rows: pl.DataFrame) -> dict[str, int]:
    """Rows by the rule that they break.

    Counts are present and not negative, numbers finite and not negative, shares at most 1, a
    longer window holds no less than a shorter one, an entity stands once at one time.
    """
    rules: dict[str, pl.Expr] = {
        "repeated": pl.struct(features.key, "event_timestamp").is_duplicated()
    }
    for name, dtype in features.columns.items():
        column = pl.col(name)
        if dtype == "float64":
            rules[f"{name}: not finite or negative"] = ~column.is_finite() | (column < 0)
        if name in _SHARES:
            rules[f"{name}: above 1"] = column > 1
    for feature in features.of(WindowAggregate):
        if feature.published and feature.function != "mode":
            names = [feature.column(window) for window in sorted(feature.windows)]
            for name in names:
                rules[f"{name}: missing or negative"] = pl.col(name).is_null() | (pl.col(name) < 0)
            for short, long in pairwise(names):
                rules[f"{short} above {long}"] = pl.col(short) > pl.col(long)
    return _count(rows, rules)


def from_the_future(features: FeatureSet, rows: pl.DataFrame, day: date) -> dict[str, int]:
    """Rows of a day's partition that hold what was not known at their time.

    Their `event_timestamp` is not the midnight that ends the day, or a time in them is not before
    that.
    """
    known = midnight(day) + timedelta(days=1)
    rules = {"event_timestamp": pl.col("event_timestamp") != known}
    times = [f.name for f in features.of(LastTime)] + [f.name for f in features.of(FirstTime)]
    for name in times:
        rules[name] = pl.col(name) >= int(known.timestamp())
    return _count(rows, rules)


def recounted(features: FeatureSet, rows: pl.DataFrame, events: pl.DataFrame) -> dict[str, int]:
    """Entities whose one-day counts are not what the day's own events say.

    A count that includes an event of another day, later or earlier, differs here.

    Args:
        features: The feature set.
        rows: One day's partition of its table.
        events: `interactions` of the same day: the key and `event`.
    """
    counts = [
        feature
        for feature in features.of(WindowAggregate)
        if feature.function == "count" and _ONE_DAY in feature.windows
    ]
    conditions = {
        feature.column(_ONE_DAY): pl.col("event").filter(pl.sql_expr(feature.where)).len()
        for feature in counts
    }
    expected = events.group_by(features.key).agg(
        expression.cast(pl.Int64).alias(f"{name}_recounted")
        for name, expression in conditions.items()
    )
    joined = rows.select(features.key, *conditions).join(
        expected, on=features.key, how="full", coalesce=True
    )
    return _count(
        joined,
        {
            name: pl.col(name).fill_null(-1) != pl.col(f"{name}_recounted").fill_null(0)
            for name in conditions
        },
    )


def examples_from_the_future(examples: pl.DataFrame) -> dict[str, int]:
    """Training examples that know of an event at or after their own time, by column.

    Args:
        examples: timestamp, last_event_at, first_sold_at, last_sold_at (epoch seconds).
    """
    moment = pl.col("timestamp").dt.epoch("s")
    midnight = moment - moment % 86_400
    times = ("last_event_at", "first_sold_at", "last_sold_at")
    return _count(examples, {name: pl.col(name) >= midnight for name in times})


def _count(rows: pl.DataFrame, rules: dict[str, pl.Expr]) -> dict[str, int]:
    counts = rows.select(
        rule.fill_null(value=False).sum().alias(name) for name, rule in rules.items()
    )
    return {name: count for name, count in counts.row(0, named=True).items() if count}
