"""YOOCHOOSE: six months of clicks and purchases of a European web shop, by session.

Published for the RecSys Challenge 2015 (http://2015.recsyschallenge.com/challenge.html; licence CC
BY-NC-ND 4.0). Unpacked are `yoochoose-clicks.dat`, 33 million lines of session, time, item and
category, and `yoochoose-buys.dat`, 1.15 million lines of session, time, item, price and quantity.
Neither has a header; times are UTC. `yoochoose-test.dat`, clicks of other sessions whose purchases
were kept back, is not read: views without their purchases would be taken for refusals.

How they are read:
- There are no accounts. A session is a visitor of its own, `session-<id>`, who never comes back.
- A click opens the page of an item: a `view`. (A `click` of the contract is one on what was
  recommended.)
- The category of a click is where it was made: `S` is a special offer, 0 is unknown, 1 to 12 are
  the shop's categories and any other number is a brand. So an item has the category, and the
  brand, that most clicks on it came from; the smaller number if two have as many. There is one
  level of categories, which is both `category_l1` and `category_l2`. Special offers are nowhere:
  nobody could have planned with what the clicks of a day tell afterwards.
- Prices are whole numbers of a unit that is not told. 0 is not known, like the category 0: nothing
  is sold for nothing, and lines of 0 units are purchases all the same.
- There is no catalogue: the items are those of clicks and purchases. They have no text.
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
    "unpack the publisher's yoochoose-data.7z and set RECSYS_SOURCE_URL to the folder with "
    "yoochoose-clicks.dat and yoochoose-buys.dat, unchanged"
)
_TIME = "%Y-%m-%dT%H:%M:%S%.fZ"
_FIRST_FIELDS = r"\d+,\d{4}-\d\d-\d\dT[^,]*,\d+"
_ITEM_ID = r"^\d+$"
_NUMBER = r"^[1-9]\d{0,17}$"
_CATEGORIES = 12


class YooChoose(Recording):
    """The publisher's files in a folder."""

    name = "yoochoose"
    first_day = date(2014, 4, 1)
    last_day = date(2014, 9, 30)
    user_attributes = (ACCOUNT,)

    def __init__(self, folder: Path) -> None:
        self._days = RecordedDays(self.first_day, self.last_day)
        self._clicks = PublishedFile(
            folder / "yoochoose-clicks.dat",
            ("session", "time", "item", "category"),
            ",",
            _REMEDY,
            first_line=rf"{_FIRST_FIELDS},[^,]*",
        )
        self._buys = PublishedFile(
            folder / "yoochoose-buys.dat",
            ("session", "time", "item", "price", "quantity"),
            ",",
            _REMEDY,
            first_line=rf"{_FIRST_FIELDS},[^,]*,[^,]*",
        )

    def interactions(self, days: Collection[date]) -> pl.DataFrame:
        """Views and purchases of the given days."""
        price = pl.col("price").cast(pl.Float64)
        quantity = pl.col("quantity").cast(pl.Int64)
        return pl.concat(
            [
                self._events(self._clicks, days, "view", {}),
                self._events(
                    self._buys,
                    days,
                    "purchase",
                    {"price": _known(price), "quantity": _known(quantity)},
                ),
            ]
        )

    def items(self) -> pa.Table:
        """All items that were clicked or bought, with category and brand."""
        clicked = self._clicks.collect(
            self._clicks.scan().group_by("item", "category").agg(clicks=pl.len())
        )
        bought = self._buys.collect(self._buys.scan().select("item").unique())
        ids = pl.concat([clicked.select("item"), bought]).unique()
        category = pl.col("number") <= _CATEGORIES
        named = (
            ids.filter(pl.col("item").str.contains(_ITEM_ID))
            .join(_most_clicked(clicked, category, "category_l1"), on="item", how="left")
            .join(_most_clicked(clicked, ~category, "brand"), on="item", how="left")
            .sort("item")
            .rename({"item": "item_id"})
            .with_columns(category_l2="category_l1", text=pl.lit(""), image=pl.lit(""))
        )
        return ITEMS.conform(named.to_arrow(), str(self._clicks.path))

    def users(self) -> pa.Table:
        """Nobody has an account."""
        return accounts([])

    def _events(
        self, file: PublishedFile, days: Collection[date], event: str, known: dict[str, pl.Expr]
    ) -> pl.DataFrame:
        written = pl.col("time").str.head(10)
        rows = (
            file.scan()
            .filter(self._days.concern(written, days))
            .select(
                pl.format(VISITOR, "session").alias("user_id"),
                pl.col("item").alias("item_id"),
                pl.col("time")
                .str.to_datetime(_TIME, time_unit="us", time_zone="UTC", strict=False)
                .alias("timestamp"),
                pl.lit(event).alias("event"),
                pl.col("session").alias("session_id"),
                self._days.delivered(written).alias(DELIVERED_DAY),
                **known,
            )
        )
        return as_interactions(file.collect(rows), file)


def _known(number: pl.Expr) -> pl.Expr:
    """The number, null where it is 0."""
    return pl.when(number != 0).then(number)


def _most_clicked(clicked: pl.DataFrame, kind: pl.Expr, name: str) -> pl.DataFrame:
    """`item`, and as `name` the number of that kind that most clicks on it came from."""
    return (
        clicked.filter(pl.col("category").str.contains(_NUMBER))
        .with_columns(number=pl.col("category").cast(pl.Int64))
        .filter(kind)
        .sort("item", "clicks", "number", descending=[False, True, False])
        .unique("item", keep="first", maintain_order=True)
        .select("item", pl.col("category").alias(name))
    )
