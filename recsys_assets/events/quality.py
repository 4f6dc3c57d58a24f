"""What is measured about the input tables; `checks.py` turns the figures into asset checks."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.events.contract import (
    EVENTS,
    INTERACTIONS,
    MAX_ID_BYTES,
    QUARANTINED_INTERACTIONS,
    SOURCE_FILE,
)
from recsys_assets.events.validation import reason_counts
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import open_file

WEEKS_COMPARED = 4
_READERS = 8


def broken_rows(rows: pa.Table, first: date, last: date) -> dict[str, int]:
    """How many stored interactions break each promise of the table; empty if none does.

    Args:
        rows: one or more partitions, with the contract's columns.
        first: the first day that the partitions are of.
        last: the last one.
    """
    frame = pl.DataFrame(pl.from_arrow(rows))
    day = pl.col("timestamp").dt.date()
    promises = {
        **{f"null_{name}": pl.col(name).is_null() for name in INTERACTIONS.required_names},
        **{
            f"bad_length_{name}": ~pl.col(name).str.len_bytes().is_between(1, MAX_ID_BYTES)
            for name in ("user_id", "item_id")
        },
        "unknown_event": ~pl.col("event").is_in(EVENTS),
        "outside_the_days": ~day.is_between(first, last),
        "negative_amount": pl.any_horizontal(pl.col("quantity", "price", "discount") < 0),
        "repeated": pl.struct(INTERACTIONS.names).is_duplicated(),
    }
    counts = frame.select(**{name: rule.sum() for name, rule in promises.items()})
    return {name: count for name, count in counts.row(0, named=True).items() if count}


def rows_per_day(store: Store, table: str, days: Sequence[date]) -> dict[date, int]:
    """Rows of each of these days' partitions; days that have none written are left out."""
    partitions = store.table(table)
    with ThreadPoolExecutor(_READERS) as pool:
        counts = list(pool.map(lambda day: _rows(partitions.path(day.isoformat())), days))
    return {day: rows for day, rows in zip(days, counts, strict=True) if rows is not None}


def _rows(url: str) -> int | None:
    """Rows of one Parquet object by its footer, None where there is no object."""
    try:
        with open_file(url) as file:
            return pq.ParquetFile(file).metadata.num_rows
    except FileNotFoundError:
        return None


def usual_rows(counts: dict[date, int], day: date) -> float | None:
    """Mean rows of the same weekday in the weeks before; None without at least two of them."""
    weeks = (day - timedelta(weeks=week) for week in range(1, WEEKS_COMPARED + 1))
    before = [counts[same] for same in weeks if same in counts]
    return sum(before) / len(before) if len(before) >= 2 else None


def unusual_days(
    counts: dict[date, int], days: Sequence[date], low: float, high: float
) -> dict[date, float]:
    """Days whose rows over the usual ones are outside of low..high, with that quotient."""
    found = {}
    for day in days:
        usual = usual_rows(counts, day)
        if usual and not low <= counts.get(day, 0) / usual <= high:
            found[day] = counts.get(day, 0) / usual
    return found


def days_over(
    accepted: dict[date, int], quarantined: dict[date, int], limit: float, least_rows: int
) -> dict[date, float]:
    """Days with more than `limit` of their rows in quarantine, and at least `least_rows` rows."""
    shares = {
        day: bad / (bad + accepted.get(day, 0))
        for day, bad in quarantined.items()
        if bad + accepted.get(day, 0) >= least_rows and bad
    }
    return {day: share for day, share in shares.items() if share > limit}


def why_quarantined(store: Store, day: date) -> str:
    """Why rows of a day are in quarantine, the file that most of them are from, and where to look.

    Raises:
        MissingPartition: the day has not been materialized.
    """
    table = store.table(QUARANTINED_INTERACTIONS.table)
    rows = table.read([day.isoformat()], columns=["reason", SOURCE_FILE])
    frame = pl.DataFrame(pl.from_arrow(rows))
    reasons = ", ".join(f"{name} {count:,}" for name, count in reason_counts(frame).items())
    files = frame.group_by(SOURCE_FILE).len().sort("len", SOURCE_FILE, descending=[True, False])
    return f"{reasons}; most from {files[SOURCE_FILE][0]}, see {table.path(day.isoformat())}"
