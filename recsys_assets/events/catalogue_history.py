"""Every item that was ever catalogued, and its categories over time.

The catalogue holds what is sold now. What is said of the past must not change with it: an event of
a product that was withdrawn since is no event of an unknown item, and counts in the category that
the product was in then. So the table `catalogue_history` only grows: a row for each item and day
on which it, or a change of what is kept of it, was first seen.
"""

from datetime import date

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import CATALOGUE_HISTORY
from recsys_assets.storage import Store

_KEPT = CATALOGUE_HISTORY.names[2:]


def record(store: Store, items: pa.Table, today: date) -> pa.Table:
    """Takes the catalogue of a day into the history; returns all of it.

    To be called before the table `items` is replaced: the catalogue that a history begins with is
    what is there already.

    Args:
        store: holds the tables.
        items: the catalogue, without repeated ids.
        today: the day on which it is seen.
    """
    table = store.table(CATALOGUE_HISTORY.table)
    if table.has():
        history = pl.DataFrame(table.read())
    else:
        earlier = store.table("items")
        history = _seen(earlier.read() if earlier.has() else items.slice(0, 0), today)
    grown = _extended(history, _seen(items, today))
    rows = grown.to_arrow().cast(CATALOGUE_HISTORY.schema)
    table.write(rows)
    return rows


def known_items(store: Store) -> pl.Series:
    """Ids of all items that were ever catalogued.

    Raises:
        MissingPartition: no catalogue has been materialized.
    """
    ids = store.table(CATALOGUE_HISTORY.table).read(columns=["item_id"])
    return pl.DataFrame(ids)["item_id"].unique(maintain_order=True)


def last_seen(store: Store, columns: list[str]) -> pl.DataFrame:
    """`item_id` and columns of all items that were ever catalogued, as they were seen last.

    Raises:
        MissingPartition: no catalogue has been materialized.
    """
    rows = store.table(CATALOGUE_HISTORY.table).read(columns=["item_id", "seen_from", *columns])
    return _latest(pl.DataFrame(rows)).drop("seen_from")


def _extended(history: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """The history with what is new or has changed. Of several changes on a day the last counts."""
    columns = ["item_id", *_KEPT]
    new = seen.join(_latest(history), on=columns, how="anti", nulls_equal=True)
    kept = history.join(new, on=["item_id", "seen_from"], how="anti")
    return pl.concat([kept, new]).sort("item_id", "seen_from")


def _latest(history: pl.DataFrame) -> pl.DataFrame:
    return history.sort("seen_from", maintain_order=True).unique(
        "item_id", keep="last", maintain_order=True
    )


def _seen(items: pa.Table, today: date) -> pl.DataFrame:
    """The rows of a catalogue as those of the history; a category it has not is null."""
    frame = pl.DataFrame(items)
    return frame.select(
        "item_id",
        pl.lit(today, pl.Date).alias("seen_from"),
        *(
            pl.col(name) if name in frame.columns else pl.lit(None, pl.String).alias(name)
            for name in _KEPT
        ),
    )
