"""What the catalogue of a day says: what was announced by then, at the prices and texts of then."""

import zlib
from collections.abc import Iterable
from datetime import date, timedelta

import polars as pl

from tools.living_shop.plan import Plan
from tools.living_shop.recording import Recording

ANNOUNCED_BEFORE = timedelta(days=1)
WITHDRAWN_AFTER = timedelta(days=56)
_REVISED_ONE_IN = 10
_REVISED = ", new recipe"


class Catalogue:
    """The catalogues of a shop's days.

    An item is announced the day before its first sale and leaves 56 days after its last. Its list
    price follows what was charged, and a tenth of the texts change on some day of the plan.
    """

    def __init__(self, recording: Recording, plan: Plan) -> None:
        self._items, self._columns = recording.items, recording.items.columns
        day = pl.col("timestamp").dt.date()
        sold = recording.events.filter(pl.col("event") == "purchase").with_columns(day=day)
        self._sales = sold.group_by("item_id").agg(
            first=pl.col("day").min(),
            last=pl.col("day").max(),
            opening=pl.col("price").drop_nulls().first(),
        )
        self._prices = (
            sold.drop_nulls("price")
            .group_by("item_id", "day")
            .agg(charged=pl.col("price").median())
            .sort("day", "item_id")
        )
        self._revisions = _revisions(self._items["item_id"], plan)

    def of(self, day: date) -> pl.DataFrame:
        """The items of the evening of a day, in the contract's columns and any further ones."""
        listed = self._sales.filter(
            (pl.col("first") - ANNOUNCED_BEFORE <= day) & (day <= pl.col("last") + WITHDRAWN_AFTER)
        )
        newest = self._prices.filter(pl.col("day") <= day).group_by("item_id").last()
        revised = pl.col("revised").is_not_null() & (pl.col("revised") <= day)
        return (
            self._items.join(listed, on="item_id")
            .join(newest.select("item_id", "charged"), on="item_id", how="left")
            .join(self._revisions, on="item_id", how="left")
            .with_columns(
                price=pl.coalesce("charged", "opening", "price"),
                text=pl.when(revised).then(pl.col("text") + _REVISED).otherwise("text"),
            )
            .select(self._columns)
            .sort("item_id")
        )

    def through(self, days: Iterable[date]) -> pl.DataFrame:
        """All items of the catalogues of some ascending days, each as the last of them has it."""
        found = pl.concat([self.of(day) for day in days])
        return found.unique("item_id", keep="last", maintain_order=True).sort("item_id")


def _revisions(item_ids: pl.Series, plan: Plan) -> pl.DataFrame:
    """The day on which each revised item's text changes."""
    numbers = {item: zlib.crc32(item.encode()) for item in item_ids}
    revised = {
        item: plan.planned[number // _REVISED_ONE_IN % plan.days]
        for item, number in numbers.items()
        if number % _REVISED_ONE_IN == 0
    }
    rows = {"item_id": list(revised), "revised": list(revised.values())}
    return pl.DataFrame(rows, schema={"item_id": pl.String, "revised": pl.Date})
