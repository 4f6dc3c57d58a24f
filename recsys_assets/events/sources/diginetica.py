"""Diginetica: half a year of item pages and purchases of a web shop, by session.

Published for the CIKM Cup 2016, track 2 (https://competitions.codalab.org/competitions/11161). Of
its files four are read, with headers and semicolons: `train-item-views.csv`, 1.2 million lines,
`train-purchases.csv`, 18,025, `products.csv` and `product-categories.csv`, 184,047 each.

How they are read:
- Who has an account (`userId`; NA on six of ten lines) is a user by its id, everyone else the
  visitor of a session, `session-<id>`. Lines of one session may be of both: before and after she
  gave her name.
- `eventdate` is the day of the event and `timeframe` the milliseconds since the session began. A
  session may go on for weeks: days and milliseconds agree in all 412 sessions of several days
  that were looked at, so the often used sum of both is wrong by as much. The time of day is not
  told. Here what a session does on a day begins at midnight, and its order and gaps are kept. So
  hours mean nothing, and which of two sessions of a day was first is not known. The time zone is
  not told either: days are taken as UTC ones.
- The price of a product is told as its logarithm to the base 2, mostly whole: it is known to a
  factor of two, in a unit that is not told. 0 is not known. What was charged for a purchase is not
  told, nor how many were bought.
- A product has one category of one level, which is both `category_l1` and `category_l2`. The
  words of its name are published as numbers; they are its text, for products share them.
"""

from collections.abc import Collection
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import DELIVERED_DAY, ITEMS
from recsys_assets.events.sources.recording import (
    ACCOUNT,
    VISITOR,
    PublishedFile,
    RecordedDays,
    Recording,
    accounts,
    as_interactions,
)

_REMEDY = (
    "unpack the publisher's archives of track 2 and set RECSYS_SOURCE_URL to the folder with "
    "train-item-views.csv, train-purchases.csv, products.csv and product-categories.csv, unchanged"
)
_EVENT = ("sessionId", "userId", "itemId", "timeframe", "eventdate")
_DAY_MS = 86_400_000


class Diginetica(Recording):
    """The publisher's files in a folder."""

    name = "diginetica"
    first_day = date(2016, 1, 1)
    last_day = date(2016, 6, 17)
    user_attributes = (ACCOUNT,)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._days = RecordedDays(self.first_day, self.last_day)
        self._events = {
            "view": self._file("train-item-views.csv", *_EVENT),
            "purchase": self._file("train-purchases.csv", *_EVENT),
        }

    def interactions(self, days: Collection[date]) -> pl.DataFrame:
        """Views and purchases of the given days."""
        written = pl.col("eventdate")
        lines = pl.concat(
            file.collect(file.scan().filter(self._days.concern(written, days))).with_columns(
                event=pl.lit(event)
            )
            for event, file in self._events.items()
        )
        rows = lines.select(
            pl.coalesce("userId", pl.format(VISITOR, "sessionId")).alias("user_id"),
            pl.col("itemId").alias("item_id"),
            _moment().alias("timestamp"),
            "event",
            pl.col("sessionId").alias("session_id"),
            self._days.delivered(written).alias(DELIVERED_DAY),
        )
        return pl.concat(
            as_interactions(rows.filter(event=event), file) for event, file in self._events.items()
        )

    def items(self) -> pa.Table:
        """The products, with price, category and text."""
        products = self._file("products.csv", "itemId", "pricelog2", "product.name.tokens")
        categories = self._file("product-categories.csv", "itemId", "categoryId")
        log = pl.col("pricelog2").cast(pl.Float64)
        named = products.scan().select(
            "itemId",
            pl.col("itemId").alias("item_id"),
            pl.col("product.name.tokens").str.replace_all(",", " ").fill_null("").alias("text"),
            pl.when(log != 0).then(2**log).alias("price"),
            pl.lit("").alias("image"),
        )
        category = categories.scan().select(
            "itemId",
            pl.col("categoryId").alias("category_l1"),
            pl.col("categoryId").alias("category_l2"),
        )
        catalogue = products.collect(named).join(
            categories.collect(category), on="itemId", how="left"
        )
        rows = catalogue.drop("itemId").sort("item_id")
        return ITEMS.conform(rows.to_arrow(), str(products.path))

    def users(self) -> pa.Table:
        """All with an account, of whom nothing else is told."""
        read = (
            file.collect(file.scan().select("userId").unique()) for file in self._events.values()
        )
        return accounts(pl.concat(read)["userId"].drop_nulls().unique().sort().to_list())

    def _file(self, name: str, *columns: str) -> PublishedFile:
        return PublishedFile(self._folder / name, columns, ";", _REMEDY, missing="NA")


def _moment() -> pl.Expr:
    """When an event was, in UTC: after midnight by what it came after the session's first that day.

    Null where that is not told, or longer than a day.
    """
    since = pl.col("timeframe").cast(pl.Int64, strict=False)
    told = pl.when(since >= 0).then(since)
    passed = told - told.min().over("sessionId", "eventdate")
    midnight = pl.col("eventdate").str.to_datetime(
        "%Y-%m-%d", time_unit="us", time_zone="UTC", strict=False
    )
    return midnight + pl.duration(milliseconds=pl.when(passed < _DAY_MS).then(passed))
