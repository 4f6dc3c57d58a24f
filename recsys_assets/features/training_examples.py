"""Training examples: first purchases, and all that was known at the moment of each.

The features of an example come from a point-in-time join: the last snapshot whose
`event_timestamp` is not after the example's own time. Snapshots carry the midnight that follows
their day, so an example sees events of days before its own and never itself.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys_assets.features.backfill import TIMESTAMP, days_between

if TYPE_CHECKING:
    from feast import FeatureStore

    from recsys_assets.storage import Store

VALIDATION_DAYS = 7
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


def example_entities(store: "Store", first_day: date, today: date) -> pa.Table:
    """The rows to join features to, ordered by time: each user's first purchase of each item.

    Models draw their negatives themselves, anew in every epoch.

    Args:
        store: Holds `interactions`.
        first_day: First event day.
        today: First day that is not used; the last `VALIDATION_DAYS` before it validate.

    Returns:
        user_id, item_id, event_timestamp, device, split ("train" or "validation").
    """
    import polars as pl

    days = days_between(first_day, today - timedelta(days=1))
    columns = ["user_id", "item_id", "timestamp", "event", "device"]
    events = pl.DataFrame(store.table("interactions").read(days, columns))
    purchases = events.filter(pl.col("event") == "purchase").sort(
        "timestamp", "user_id", "item_id", maintain_order=True
    )
    validation = datetime.combine(today, datetime.min.time(), UTC) - timedelta(days=VALIDATION_DAYS)
    is_validation = pl.col("timestamp") >= pl.lit(validation)
    first = purchases.unique(["user_id", "item_id"], keep="first", maintain_order=True).select(
        "user_id",
        "item_id",
        pl.col("timestamp").alias("event_timestamp"),
        "device",
        split=pl.when(is_validation).then(pl.lit("validation")).otherwise(pl.lit("train")),
    )
    return first.to_arrow().cast(_ENTITIES)


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


def training_examples(
    feature_store: "FeatureStore", entities: pa.Table, chunk_rows: int = 100_000
) -> Iterator[pa.Table]:
    """Joins examples in consecutive chunks, so that memory does not grow with history.

    The join of a chunk holds every earlier snapshot of its users and items: 5 GB at 100,000 rows
    and nine months of Complete Journey.

    Yields:
        user_id, item_id, timestamp, device, split, then the feature columns.
    """
    service = feature_store.get_feature_service("ranking")
    for start in range(0, entities.num_rows, chunk_rows):
        chunk = entities.slice(start, chunk_rows)
        joined = join_features(feature_store, chunk, service)
        joined = joined.sort_by(
            [("event_timestamp", "ascending"), ("user_id", "ascending"), ("item_id", "ascending")]
        )
        names = [n if n != "event_timestamp" else "timestamp" for n in joined.column_names]
        joined = joined.rename_columns(names)
        yield joined.set_column(
            names.index("timestamp"), "timestamp", joined["timestamp"].cast(TIMESTAMP)
        )
