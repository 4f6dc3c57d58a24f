"""Training examples: first purchases, and all that was known at the moment of each.

The features of an example come from a point-in-time join: the last snapshot whose
`event_timestamp` is not after the example's own time. Snapshots carry the midnight that follows
their day, so an example sees events of days before its own and never itself.

All of history is joined. Where its last days are held out to measure the initial models on, the
column `split` says so, and training leaves them alone; later trainings learn from them.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys_assets.features.backfill import TIMESTAMP
from recsys_assets.settings.days import VALIDATION_DAYS, days_between, midnight

if TYPE_CHECKING:
    import polars as pl
    from feast import FeatureService, FeatureStore

    from recsys_assets.settings.days import Days
    from recsys_assets.storage import Store

_ENTITIES = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("event_timestamp", TIMESTAMP),
        ("device", pa.string()),
        ("split", pa.string()),
    ]
)


class RowsLost(RuntimeError):
    """A point-in-time join did not return exactly the rows it was given."""

    def __init__(self, given: int, returned: int) -> None:
        super().__init__(
            f"point-in-time join: {given} rows in, {returned} rows out; no example may be lost or "
            "doubled, so nothing was written. Look for two snapshots of one entity with the same "
            "event_timestamp, or an offline store that drops entities without features"
        )


def example_entities(store: "Store", span: "Days") -> pa.Table:
    """The rows to join features to, ordered by time: each user's first purchase of each item.

    Models draw their negatives themselves, anew in every epoch.

    Args:
        store: Holds `interactions`.
        span: History, and where training ends in it; the last `VALIDATION_DAYS` of that validate.

    Returns:
        user_id, item_id, event_timestamp, device, split ("train", "validation" or "held_out").

    Raises:
        InvalidSetting: history is too short to train and to validate on.
    """
    import polars as pl

    span.require_training_days(VALIDATION_DAYS + 1)
    first = _first_purchases(store, span.first_day, span.history_through)
    end = span.evaluation_from
    time, validated = pl.col("event_timestamp"), end - timedelta(days=VALIDATION_DAYS)
    split = (
        pl.when(time >= midnight(end))
        .then(pl.lit("held_out"))
        .when(time >= midnight(validated))
        .then(pl.lit("validation"))
        .otherwise(pl.lit("train"))
    )
    return first.with_columns(split=split).to_arrow().cast(_ENTITIES)


def entities_of_days(store: "Store", first_day: date, days: Sequence[str]) -> pa.Table:
    """Like `example_entities`, of the given days alone: what users bought then for the first time.

    Args:
        store: Holds `interactions` of every day from `first_day` on.
        first_day: First event day.
        days: Ascending and without a gap, YYYY-MM-DD.

    Returns:
        As `example_entities`, every row with split "train".
    """
    import polars as pl

    first = _first_purchases(store, first_day, date.fromisoformat(days[-1]))
    of_days = first.filter(pl.col("event_timestamp") >= midnight(days[0]))
    return of_days.with_columns(split=pl.lit("train")).to_arrow().cast(_ENTITIES)


def by_day(examples: pa.Table, days: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """The examples of each of the days, by their timestamp; a day without any has no rows."""
    import polars as pl

    frame = pl.DataFrame(examples)
    day_of = frame["timestamp"].dt.strftime("%Y-%m-%d")
    for day in days:
        yield day, frame.filter(day_of == day).to_arrow().cast(examples.schema)


def _first_purchases(store: "Store", first_day: date, last_day: date) -> "pl.DataFrame":
    """user_id, item_id, event_timestamp and device of first purchases, ordered by time."""
    import polars as pl

    columns = ["user_id", "item_id", "timestamp", "event", "device"]
    days = days_between(first_day, last_day)
    events = pl.DataFrame(store.table("interactions").read(days, columns))
    purchases = events.filter(pl.col("event") == "purchase").sort(
        "timestamp", "user_id", "item_id", maintain_order=True
    )
    return purchases.unique(["user_id", "item_id"], keep="first", maintain_order=True).select(
        "user_id", "item_id", pl.col("timestamp").alias("event_timestamp"), "device"
    )


def join_features(feature_store: "FeatureStore", entities: pa.Table, features: object) -> pa.Table:
    """Features as of each row's time, by Feast's offline store.

    Args:
        feature_store: An opened store whose registry holds the views.
        entities: `event_timestamp`, join keys, and any columns to carry along.
        features: A feature service, or a list of `view:feature`.

    Returns:
        The rows, in no particular order, with the feature columns added.

    Raises:
        RowsLost: rows out are not rows in.
    """
    job = feature_store.get_historical_features(entity_df=entities.to_pandas(), features=features)
    joined = job.to_arrow()
    if joined.num_rows != entities.num_rows:
        raise RowsLost(entities.num_rows, joined.num_rows)
    return joined


def training_examples(feature_store: "FeatureStore", entities: pa.Table) -> pa.Table:
    """Joins all features to the examples, in one join: in parts, each would read all of history.

    Returns:
        user_id, item_id, timestamp, device, split, then the feature columns, by time, user and
        item; of no entities a table without rows.

    Raises:
        RowsLost: rows out are not rows in.
    """
    service = feature_store.get_feature_service("ranking")
    if not entities.num_rows:
        return _no_examples(service)
    joined = join_features(feature_store, entities, service).sort_by(
        [("event_timestamp", "ascending"), ("user_id", "ascending"), ("item_id", "ascending")]
    )
    names = [n if n != "event_timestamp" else "timestamp" for n in joined.column_names]
    joined = joined.rename_columns(names)
    return joined.set_column(
        names.index("timestamp"), "timestamp", joined["timestamp"].cast(TIMESTAMP)
    )


def _no_examples(service: "FeatureService") -> pa.Table:
    """The columns of examples, for Feast joins nothing to nothing."""
    from feast.type_map import feast_value_type_to_pa

    fields = [
        field.with_name("timestamp") if field.name == "event_timestamp" else field
        for field in _ENTITIES
    ]
    for view in service.feature_view_projections:
        for feature in view.features:
            kind = feast_value_type_to_pa(feature.dtype.to_value_type())
            fields.append(pa.field(feature.name, kind))
    return pa.schema(fields).empty_table()
