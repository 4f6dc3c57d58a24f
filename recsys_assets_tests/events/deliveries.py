"""Tiny deliveries in the contract, for tests to break."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.events.contract import DELIVERED_DAY, INTERACTIONS, SOURCE_FILE

DAY = date(2024, 5, 2)
NOW = datetime(2025, 1, 1, tzinfo=UTC)
ITEMS = pl.Series(["tea", "café ☕", "soap"])

GOOD: dict[str, Any] = {
    "user_id": "ann",
    "item_id": "tea",
    "timestamp": datetime(2024, 5, 2, 9, 30, tzinfo=UTC),
    "event": "purchase",
    "session_id": "s1",
    "quantity": 2,
    "price": 3.5,
    "discount": 0.5,
    "device": "web",
    "store_id": None,
}


def at(day: int, hour: int = 9) -> datetime:
    """A moment of May 2024, UTC."""
    return datetime(2024, 5, day, hour, tzinfo=UTC)


def delivered(*rows: dict[str, Any], day: date | None = None) -> pl.DataFrame:
    """Rows as a source hands them over; each dict changes the good row."""
    table = pa.Table.from_pylist([{**GOOD, **row} for row in rows], schema=INTERACTIONS.schema)
    return pl.DataFrame(pl.from_arrow(table)).with_columns(
        pl.lit("a.parquet").alias(SOURCE_FILE), pl.lit(day, pl.Date).alias(DELIVERED_DAY)
    )


def write_shop(folder: Path) -> Path:
    """Items and users of a shop without events yet."""
    folder.mkdir(parents=True, exist_ok=True)
    items = {
        "item_id": ITEMS.to_list(),
        "text": ["Tea", "Coffee, strong", None],
        "category_l1": ["food", "food", "home"],
        "colour": ["green", "black", "white"],
    }
    pq.write_table(pa.table(items), folder / "items.parquet")
    pq.write_table(
        pa.table({"user_id": ["ann", "bob"], "age": ["30s", None]}), folder / "users.parquet"
    )
    return folder


def write_events(folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    """One file of interactions below `folder`, with the contract's columns."""
    table = pa.Table.from_pylist([{**GOOD, **row} for row in rows], schema=INTERACTIONS.schema)
    return write_table(folder, name, table)


def write_table(folder: Path, name: str, table: pa.Table) -> Path:
    """One Parquet file below `folder/interactions`."""
    path = folder / "interactions" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path
