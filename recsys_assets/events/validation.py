"""Row by row: what keeps the contract, and what goes to quarantine and why.

How time is treated, on purpose:
- An event belongs to the day on which it happened, in UTC, not to the day it was delivered.
  A time without a zone is taken as UTC (`contract.Contract.conform`).
- A late row is taken into its own day, when that day is materialized again, as long as it was
  delivered at most `LATE_DAYS` days after. Whoever ingests a day looks whether those before it
  have such rows (`ingest.py`).
- A row delivered later than that, before it happened, or with a time that cannot be (null,
  before 1970, after now) is quarantined on the day of its delivery.
- Rows are put in order of time, whatever their order in the files.

The same rows delivered twice are one: rows that agree in every column of the contract are kept
once, so a day that is delivered again gives the same partition. Two lines of one product in one
basket at different moments are two events.

Items, users and promotions are delivered whole, one row per thing.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import (
    DELIVERED_DAY,
    EVENTS,
    INTERACTIONS,
    LATE_DAYS,
    MAX_ID_BYTES,
    MAX_MONEY,
    QUARANTINED_INTERACTIONS,
    QUARANTINED_ROWS,
    SOURCE_FILE,
)

DAY = "day"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CALENDAR = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
_IDS = ("user_id", "item_id", "session_id", "device", "store_id")
_AMOUNTS = ("price", "discount")


@dataclass(frozen=True)
class Validated:
    """Rows of the days asked for; `day` (a date) is the partition of each.

    `accepted` has the contract's columns, `quarantined` the same as strings with `reason` and
    `source_file`. `duplicates` counts removed rows by day, `late` the rows of a day that came
    after it.
    """

    accepted: pl.DataFrame
    quarantined: pl.DataFrame
    duplicates: dict[date, int]
    late: dict[date, int]


def validate(
    rows: pl.DataFrame, days: Collection[date], known_items: pl.Series, now: datetime
) -> Validated:
    """Splits delivered rows into those that keep the contract and those that do not.

    Args:
        rows: the contract's columns, `source_file` and `delivered_day` (`Source.interactions`).
        days: the partitions wanted; rows of other days are left out.
        known_items: ids of the catalogue.
        now: nothing can have happened after it.
    """
    judged = (
        rows.with_columns(event_day=usable_time(now).dt.date())
        .with_columns(lateness=(pl.col(DELIVERED_DAY) - pl.col("event_day")).dt.total_days())
        .with_columns(
            reason=pl.concat_str(_reasons(known_items, now), separator=",", ignore_nulls=True),
            day=pl.when(pl.col("event_day").is_null() | _displaced())
            .then(DELIVERED_DAY)
            .otherwise("event_day"),
        )
    )
    wanted = pl.col(DAY).is_in(list(days))
    good, bad = pl.col("reason") == "", pl.col("reason") != ""
    late = pl.col(DELIVERED_DAY) > pl.col(DAY)
    accepted = judged.filter(good & wanted)
    unique = accepted.unique(INTERACTIONS.names).sort("timestamp", *_sort_keys())
    return Validated(
        accepted=unique.select(DAY, *INTERACTIONS.names),
        quarantined=_quarantine(judged.filter(bad & wanted)),
        duplicates=_difference(_count(accepted), _count(unique)),
        late=_count(unique.filter(late)),
    )


def reason_counts(quarantined: pl.DataFrame) -> dict[str, int]:
    """How many rows each reason holds for; a row with two reasons counts for both."""
    counts = Counter(reason for row in quarantined["reason"] for reason in row.split(","))
    return dict(counts.most_common())


def usable_time(now: datetime) -> pl.Expr:
    """The time of an event, null where it cannot be: missing, before 1970 or after now.

    Also keeps the years beyond 9999, which no calendar function takes, from reaching one.
    """
    return pl.when(pl.col("timestamp").is_between(_EPOCH, now)).then("timestamp")


def blank(column: str) -> pl.Expr:
    """Whether a text is missing, or nothing but white space."""
    return pl.col(column).str.strip_chars().fill_null("") == ""


def too_large(money: pl.Expr) -> pl.Expr:
    """Whether an amount is a number, and beyond what sums can hold."""
    return money.is_finite() & (money > MAX_MONEY)


def id_rules(name: str) -> dict[str, pl.Expr]:
    """What no id may be, whatever table it is in; by reason. One that is missing keeps them."""
    return {
        f"{name}_too_long": pl.col(name).str.len_bytes() > MAX_ID_BYTES,
        f"{name}_holds_nul": pl.col(name).str.contains("\0", literal=True),
    }


def _reasons(known_items: pl.Series, now: datetime) -> list[pl.Expr]:
    """One expression per rule: the reason where it is broken, null where it is kept."""
    rules = {
        "missing_user_id": blank("user_id"),
        "missing_item_id": blank("item_id"),
        **{reason: rule for name in _IDS for reason, rule in id_rules(name).items()},
        "unknown_event": ~pl.col("event").is_in(EVENTS).fill_null(False),
        "missing_timestamp": pl.col("timestamp").is_null(),
        "before_1970": pl.col("timestamp") < _EPOCH,
        "in_the_future": (pl.col("timestamp") > now) | (pl.col("lateness") < 0),
        "too_late": pl.col("lateness") > LATE_DAYS,
        "negative_quantity": pl.col("quantity") < 0,
        "zero_quantity": (pl.col("quantity") == 0) & (pl.col("event") == "purchase"),
        **{f"{name}_not_finite": ~pl.col(name).is_finite() for name in _AMOUNTS},
        **{f"negative_{name}": pl.col(name) < 0 for name in _AMOUNTS},
        "amount_too_large": too_large(pl.col("price") * pl.col("quantity").fill_null(1).clip(1)),
        "discount_above_price": pl.col("discount") > pl.col("price") * (1 + 1e-9) + 1e-9,
        "unknown_item": ~blank("item_id") & ~pl.col("item_id").is_in(known_items.implode()),
    }
    return [pl.when(rule).then(pl.lit(reason)) for reason, rule in rules.items()]


def _displaced() -> pl.Expr:
    """Whether a row was delivered on a day that its own day does not look at."""
    return ~pl.col("lateness").fill_null(0).is_between(0, LATE_DAYS)


def _sort_keys() -> list[str]:
    return [name for name in INTERACTIONS.names if name != "timestamp"]


def _quarantine(rows: pl.DataFrame) -> pl.DataFrame:
    as_text = rows.with_columns(_written_time()).select(
        DAY, *(pl.col(name).cast(pl.String) for name in INTERACTIONS.names), "reason", SOURCE_FILE
    )
    columns = [DAY, *INTERACTIONS.names, "reason"]
    return (
        as_text.sort(DAY, *QUARANTINED_INTERACTIONS.names)
        .unique(columns, keep="first", maintain_order=True)
        .select(DAY, *QUARANTINED_INTERACTIONS.names)
    )


def _written_time() -> pl.Expr:
    """The time as text; beyond the years of the calendar, as microseconds since 1970."""
    time = pl.col("timestamp")
    in_calendar = pl.when(time.is_between(*_CALENDAR)).then(time)
    return pl.coalesce(in_calendar.cast(pl.String), time.to_physical().cast(pl.String))


def _count(rows: pl.DataFrame) -> dict[date, int]:
    return dict(rows.group_by(DAY).len().sort(DAY).iter_rows())


def _difference(more: dict[date, int], less: dict[date, int]) -> dict[date, int]:
    return {day: rows - less[day] for day, rows in more.items() if rows > less[day]}


def clean_items(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Items that keep the contract, and the quarantined rest (`QUARANTINED_ROWS`).

    A text or image that is missing is empty; an id that comes twice keeps its first row.
    """
    filled = _frame(rows).with_columns(pl.col("text", "image").fill_null(""))
    price = pl.col("price")
    return _split(
        filled,
        "item_id",
        {
            **_key_rules("item_id"),
            **_unique_rule("item_id"),
            "negative_price": price < 0,
            "price_not_finite": ~price.is_finite(),
            "price_too_large": too_large(price),
        },
        rows.schema,
    )


def clean_withdrawn(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Withdrawn items that keep the contract, and the quarantined rest; first row of an id wins."""
    rules = {**_key_rules("item_id"), **_unique_rule("item_id")}
    return _split(_frame(rows), "item_id", rules, rows.schema)


def clean_users(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Users that keep the contract, and the quarantined rest; first row of an id wins."""
    rules = {**_key_rules("user_id"), **_unique_rule("user_id")}
    return _split(_frame(rows), "user_id", rules, rows.schema)


def clean_promotions(rows: pa.Table, known_items: pl.Series) -> tuple[pa.Table, pa.Table]:
    """Promotions that keep the contract, and the quarantined rest."""
    shares = {
        f"{name}_not_a_share": ~pl.col(name).is_between(0, 1) for name in ("display", "mailer")
    }
    start, end = pl.col("valid_from"), pl.col("valid_to")
    return _split(
        _frame(rows),
        "item_id",
        {
            **_key_rules("item_id"),
            "missing_time": start.is_null() | end.is_null(),
            "ends_before_it_starts": end <= start,
            **shares,
            "unknown_item": ~pl.col("item_id").is_in(known_items.implode()),
        },
        rows.schema,
    )


def digest(rows: pa.Table) -> str:
    """A name for exactly these rows, the same on every run."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()[:16]


def _frame(rows: pa.Table) -> pl.DataFrame:
    """The rows without identical repetitions, in their order."""
    return pl.DataFrame(pl.from_arrow(rows)).unique(keep="first", maintain_order=True)


def _key_rules(name: str) -> dict[str, pl.Expr]:
    return {f"missing_{name}": blank(name), **id_rules(name)}


def _unique_rule(name: str) -> dict[str, pl.Expr]:
    return {f"duplicate_{name}": pl.col(name).is_not_null() & ~pl.col(name).is_first_distinct()}


def _split(
    rows: pl.DataFrame, key: str, rules: Mapping[str, pl.Expr], schema: pa.Schema
) -> tuple[pa.Table, pa.Table]:
    broken = [pl.when(rule).then(pl.lit(reason)) for reason, rule in rules.items()]
    # A shop's own column may be called `reason` as well.
    reason = rows.select(pl.concat_str(broken, separator=",", ignore_nulls=True)).to_series()
    bad = rows.filter(reason != "").select(
        pl.col(key).alias("id"),
        reason.filter(reason != "").alias("reason"),
        pl.struct(rows.columns).struct.json_encode().alias("row"),
    )
    good = rows.filter(reason == "")
    return good.to_arrow().cast(schema), bad.to_arrow().cast(QUARANTINED_ROWS.schema)
