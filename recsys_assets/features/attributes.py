"""Features that are no counts of events: attributes of users and items, and promotions.

Attributes are the columns of `users` and `items` that a model may use as they are, valid from the
first moment of history. What is left out: free text and images, which become embeddings
(`content/`), and the list price, whose name and place belong to the observed price in
`item_features`. Of a promotion plan they are the moments at which its values change.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.events.contract import BrokenInput
from recsys_assets.features import request_time
from recsys_assets.features.declarations import FEATURE_SETS, ITEM_PROMOTIONS, USER_FEATURES
from recsys_assets.storage import Store

TIMESTAMP = pa.timestamp("us", tz="UTC")
# Columns beside attributes and features in what these are joined to: examples, sessions, answers.
_COLUMNS_OF_REQUESTS = (
    *("user_id", "item_id", "timestamp", "event_timestamp", "device", "split"),
    *("session_id", "midnight", "day"),
    *("request_id", "release", "answered_at", "degraded", "k"),
    *("item_ids", "scores", "propensities", "candidate_ids", "candidate_scores"),
    *request_time.USER_REQUEST_FEATURES,
    *request_time.ITEM_REQUEST_FEATURES,
    *request_time.CONTEXT_FEATURES,
)
_NOT_ATTRIBUTES = {"users": ("user_id",), "items": ("item_id", "text", "image", "price")}
ATTRIBUTE_TABLES = {"user_attributes": "users", "item_attributes": "items"}
# 1970-01-02, from when on online values are sent (`online.py`), and 2200. A plan from 1900 to 9999
# is valid for ever, which not every engine can count to: pandas ends in 2262.
_EVER = (86_400_000_000, 7_258_118_400_000_000)


def attribute_names(entity_table: str, columns: list[str]) -> list[str]:
    """The columns of `users` or `items` that are attributes, in their order."""
    return [name for name in columns if name not in _NOT_ATTRIBUTES[entity_table]]


def require_own_names(attributes: Mapping[str, Sequence[str]]) -> None:
    """That every attribute can be told from whatever it is joined to, and that there are some.

    Args:
        attributes: names by `users` and `items`.

    Raises:
        BrokenInput: one has the name of a feature, of a column of requests, or of an attribute of
            the other table, upper and lower case being the same to the engines; or a table has
            none, of which Feast makes no view.
    """
    owner = dict.fromkeys(_COLUMNS_OF_REQUESTS, "requests have")
    for features in FEATURE_SETS:
        owner |= dict.fromkeys(features.columns, f"the features {features.name} have")
    for table, names in attributes.items():
        if not names:
            raise BrokenInput(
                f"{table}.parquet",
                None,
                "it has no attribute, only ids",
                "add a column of text; it may be empty where nothing is known",
            )
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


def change_rows(promotions: pa.Table) -> pa.Table:
    """A row for each moment at which a promotion of an item begins or ends.

    Args:
        promotions: item_id, valid_from, valid_to (not included), display, mailer; spans of one
            item may overlap.

    Returns:
        item_id, event_timestamp, display, mailer (float64, 0 where no promotion is valid), by
        item and time: the strongest of the promotions that are valid from then on. Moments at
        which no value changes have no row; those before 1970-01-02 and after 2200 count
        as these.
    """
    items, item = np.unique(
        np.array(promotions["item_id"].to_pylist(), dtype=object), return_inverse=True
    )
    since, until = (
        promotions[name].cast(TIMESTAMP).cast(pa.int64()).to_numpy().clip(*_EVER)
        for name in ("valid_from", "valid_to")
    )
    moments, position = np.unique(np.concatenate([since, until]), return_inverse=True)
    span = max(len(moments), 1)
    begins, ends = item * span + position[: len(item)], item * span + position[len(item) :]
    changes = np.unique(np.concatenate([begins, ends]))
    first, last = np.searchsorted(changes, begins), np.searchsorted(changes, ends)
    covered = _ranges(first, last)
    columns = {}
    for name in ITEM_PROMOTIONS.columns:
        given = pc.fill_null(promotions[name].cast(pa.float64()), 0.0).to_numpy()
        values = np.zeros(len(changes))
        np.maximum.at(values, covered, np.repeat(given, last - first))
        columns[name] = values
    kept = _differs_from_before(changes // span, list(columns.values()))
    return pa.table(
        {
            "item_id": pa.array(items[changes[kept] // span].tolist(), pa.string()),
            "event_timestamp": pa.array(moments[changes[kept] % span], pa.int64()).cast(TIMESTAMP),
            **{name: pa.array(values[kept]) for name, values in columns.items()},
        }
    )


def _ranges(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """first[0] ... last[0]-1, first[1] ... last[1]-1, and so on: int64."""
    length = last - first
    offset = np.repeat(first - np.concatenate([[0], np.cumsum(length)[:-1]]), length)
    return np.arange(int(length.sum())) + offset


def _differs_from_before(item: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    """Whether a row is its item's first, or some value is not that of the row before it."""
    differs = np.ones(len(item), dtype=bool)
    same_item = item[1:] == item[:-1]
    unchanged = np.all([values[1:] == values[:-1] for values in columns], axis=0)
    differs[1:] = ~(same_item & unchanged)
    return differs
