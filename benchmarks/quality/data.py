"""The data sets of the rolling evaluation, read from their sources, validated as in the graph."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from recsys_assets.evaluation.rolling import WEEK_DAYS, Shop
from recsys_assets.events.sources import Source, open_source
from recsys_assets.events.validation import clean_items, clean_promotions, validate
from recsys_assets.features.attributes import attribute_names, change_rows
from recsys_assets.features.declarations import ITEM_PROMOTIONS
from recsys_assets.models.item_history import Changes

_DAYS_AT_ONCE = 31


@dataclass(frozen=True)
class DataSet:
    """A recording and its first measured week; the weeks before it serve to choose settings."""

    name: str
    first_week: date

    def weeks(self, count: int) -> list[date]:
        """First days of the measured weeks, rising."""
        return [self.first_week + timedelta(days=WEEK_DAYS * number) for number in range(count)]

    def validation_weeks(self, count: int) -> list[date]:
        """First days of the weeks before the first measured one, rising."""
        return [
            self.first_week - timedelta(days=WEEK_DAYS * number) for number in range(count, 0, -1)
        ]


DATA_SETS = {
    one.name: one
    for one in (
        DataSet("complete_journey", date(2017, 10, 1)),
        DataSet("movielens_100k", date(1998, 2, 22)),
    )
}


def load_shop(name: str, packaged_data: Path, through: date, say: Callable[[str], object]) -> Shop:
    """Everything of a data set up to and including a day.

    Raises:
        BrokenInput: a file is missing or does not keep the contract.
    """
    source = open_source(
        name, packaged_data=packaged_data, url=None, first_day=date.min, last_day=None
    )
    items, _ = clean_items(source.items())
    ids = pl.DataFrame(pl.from_arrow(items))["item_id"]
    interactions = _interactions(source, ids, through)
    say(f"{name}: {interactions.height:,} events of {len(ids):,} items")
    promotions, _ = clean_promotions(source.promotions(), ids)
    changes = Changes.from_table(
        change_rows(promotions), items.column("item_id").combine_chunks(), ITEM_PROMOTIONS.columns
    )
    attributes = attribute_names("items", items.column_names)
    return Shop.from_tables(interactions.to_arrow(), items, attributes, changes)


def _interactions(source: Source, ids: pl.Series, through: date) -> pl.DataFrame:
    count = (through - source.first_day).days + 1
    days = [source.first_day + timedelta(days=number) for number in range(count)]
    now = datetime.now(UTC)
    parts = [days[start : start + _DAYS_AT_ONCE] for start in range(0, count, _DAYS_AT_ONCE)]
    return pl.concat(
        [validate(source.interactions(part), part, ids, now).accepted for part in parts]
    )
