"""Items, users and promotions: tables that are delivered whole, one row per thing.

What belongs here: the row checks of these tables. Those of interactions are in `validation.py`.
"""

import hashlib
from collections.abc import Mapping

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import QUARANTINED_ROWS
from recsys_assets.events.validation import blank, id_rules, too_large


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
