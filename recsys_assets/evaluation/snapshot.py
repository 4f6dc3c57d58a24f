"""User features as known when a day begins: the last snapshot before it.

What serving reads from the online store at such a moment; a check of the features stage proves the
two equal, value by value. Items have theirs in `retrieval/item_history.py`.
"""

from datetime import UTC, date, datetime, time

import numpy as np
import polars as pl

from recsys_assets.storage import Store

Columns = dict[str, np.ndarray]


def user_columns(store: Store, user_ids: np.ndarray, first_day: date, before: date) -> Columns:
    """Columns of `user_attributes` and `user_features` that were known when `before` began.

    Args:
        store: holds both tables.
        user_ids: object [n].
        first_day: first day of history.
        before: first day after it.

    Returns:
        `user_id` and the rest in the order of `user_ids`: strings as object [n] with "" for
        missing, numbers as float64 [n] with NaN for missing; all missing for an unknown user.

    Raises:
        MissingPartition: a day of history is missing.
    """
    attributes = pl.DataFrame(store.table("user_attributes").read()).drop("event_timestamp")
    wanted = pl.DataFrame({"user_id": pl.Series(user_ids.tolist(), dtype=pl.String)})
    rows = wanted.join(attributes, on="user_id", how="left", maintain_order="left")
    features = _latest_rows(store, first_day, before)
    rows = rows.join(features, on="user_id", how="left", maintain_order="left")
    return {column.name: _as_numpy(column) for column in rows}


def _latest_rows(store: Store, first_day: date, before: date) -> pl.DataFrame:
    days = pl.date_range(first_day, before, closed="left", eager=True).dt.strftime("%Y-%m-%d")
    rows = pl.DataFrame(store.table("user_features").read(days.to_list()))
    moment = datetime.combine(before, time(), UTC)
    known = rows.filter(pl.col("event_timestamp") <= moment).sort("event_timestamp")
    return known.unique("user_id", keep="last").drop("event_timestamp")


def _as_numpy(column: pl.Series) -> np.ndarray:
    if column.dtype == pl.String:
        return column.fill_null("").to_numpy().astype(object)
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
