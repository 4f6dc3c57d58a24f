"""What customers paid in the evaluated days: the worth of what a method should have found."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
from scipy import sparse

from recsys_assets.evaluation.split import Split
from recsys_assets.events.purchases import paid
from recsys_assets.settings.days import midnight

COLUMNS = ("user_id", "item_id", "timestamp", "event", "quantity", "price", "discount")


def spending(interactions: pa.Table, split: Split, first_day: date, days: int) -> sparse.csr_matrix:
    """What each customer who asks paid for each item, all its lines of the days together.

    A line without a price is left out: a mean of other lines would be a guess at what is measured.

    Args:
        interactions: events with `COLUMNS`.
        split: says who asks, and what the catalogue is.
        first_day: first evaluated day (UTC).
        days: number of days.

    Returns:
        CSR float64 [requests, items].
    """
    start = midnight(first_day)
    users = pl.Series(split.requests.user_id.tolist(), dtype=pl.String)
    items = pl.Series(split.item_ids.tolist(), dtype=pl.String)
    lines = (
        pl.DataFrame(interactions.select(COLUMNS))
        .filter(
            pl.col("event") == "purchase",
            pl.col("timestamp").is_between(start, start + timedelta(days=days), closed="left"),
        )
        .with_columns(paid=paid())
        .filter(pl.col("paid").is_finite())
        .join(pl.DataFrame({"user_id": users}).with_row_index("row"), on="user_id")
        .join(pl.DataFrame({"item_id": items}).with_row_index("column"), on="item_id")
    )
    places = (lines["row"].to_numpy().astype(np.int64), lines["column"].to_numpy())
    shape = (len(users), len(items))
    return sparse.coo_matrix((lines["paid"].to_numpy(), places), shape=shape).tocsr()
