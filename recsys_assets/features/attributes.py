"""Attributes of users and items as feature tables: what does not change with each event.

They are the columns of `users` and `items` that a model may use as they are, valid from the first
moment of history. What is left out: free text and images, which become embeddings (`content/`),
and the list price, whose name and place belong to the observed price in `item_features`.
"""

from datetime import UTC, date, datetime

import pyarrow as pa

from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.storage import Store

TIMESTAMP = pa.timestamp("us", tz="UTC")
_NOT_ATTRIBUTES = {"users": ("user_id",), "items": ("item_id", "text", "image", "price")}
ATTRIBUTE_TABLES = {"user_attributes": "users", "item_attributes": "items"}


def attribute_names(entity_table: str, columns: list[str]) -> list[str]:
    """The columns of `users` or `items` that are attributes, in their order."""
    return [name for name in columns if name not in _NOT_ATTRIBUTES[entity_table]]


def attribute_rows(entity_table: str, rows: pa.Table, valid_from: date) -> pa.Table:
    """Key, event_timestamp (`valid_from` 00:00 UTC) and attributes; missing values stay null.

    Args:
        entity_table: `users` or `items`.
        rows: That table.
        valid_from: First day of history.
    """
    key = _NOT_ATTRIBUTES[entity_table][0]
    moment = pa.scalar(datetime(valid_from.year, valid_from.month, valid_from.day, tzinfo=UTC))
    attributes = rows.select(attribute_names(entity_table, rows.column_names))
    columns = {
        key: rows.column(key),
        "event_timestamp": pa.repeat(moment.cast(TIMESTAMP), rows.num_rows),
        **dict(zip(attributes.column_names, attributes.columns, strict=True)),
    }
    return pa.table(columns)


def user_columns(store: Store) -> list[str]:
    """Names of all online features of a user: attributes of this source, then activity.

    Raises:
        MissingPartition: `users` has not been materialized.
    """
    attributes = attribute_names("users", store.table("users").read().column_names)
    return [*attributes, *USER_FEATURES.columns]
