"""Attributes of users and items as feature tables: what does not change with each event.

They are the columns of `users` and `items` that a model may use as they are, valid from the first
moment of history. What is left out: free text and images, which become embeddings (`content/`),
and the list price, whose name and place belong to the observed price in `item_features`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import pyarrow as pa

from recsys_assets.events.contract import BrokenInput
from recsys_assets.features import request_time
from recsys_assets.features.declarations import FEATURE_SETS, USER_FEATURES
from recsys_assets.storage import Store

TIMESTAMP = pa.timestamp("us", tz="UTC")
# Columns beside attributes and features in what these are joined to: examples, sessions, answers.
_COLUMNS_OF_REQUESTS = (
    *("user_id", "item_id", "timestamp", "event_timestamp", "device", "split"),
    *("session_id", "midnight", "day"),
    *("request_id", "release", "answered_at", "degraded", "k"),
    *("item_ids", "scores", "candidate_ids", "candidate_scores"),
    *request_time.USER_REQUEST_FEATURES,
    *request_time.ITEM_REQUEST_FEATURES,
    *request_time.CONTEXT_FEATURES,
)
_NOT_ATTRIBUTES = {"users": ("user_id",), "items": ("item_id", "text", "image", "price")}
ATTRIBUTE_TABLES = {"user_attributes": "users", "item_attributes": "items"}


def attribute_names(entity_table: str, columns: list[str]) -> list[str]:
    """The columns of `users` or `items` that are attributes, in their order."""
    return [name for name in columns if name not in _NOT_ATTRIBUTES[entity_table]]


def require_own_names(attributes: Mapping[str, Sequence[str]]) -> None:
    """That every attribute can be told from whatever it is joined to.

    Args:
        attributes: names by `users` and `items`.

    Raises:
        BrokenInput: one has the name of a feature, of a column of requests, or of an attribute of
            the other table, upper and lower case being the same to the engines.
    """
    owner = dict.fromkeys(_COLUMNS_OF_REQUESTS, "requests have")
    for features in FEATURE_SETS:
        owner |= dict.fromkeys(features.columns, f"the features {features.name} have")
    for table, names in attributes.items():
        for name in names:
            other = owner.setdefault(name.lower(), f"{table} have")
            if other != f"{table} have":
                raise BrokenInput(
                    f"{table}.parquet",
                    name,
                    f"{other} a column of that name",
                    "give it another name, or leave it out",
                )


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
