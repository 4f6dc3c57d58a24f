"""Where the input tables come from: built-in recordings, or a shop's own Parquet files."""

from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Protocol

import polars as pl
import pyarrow as pa

from recsys_assets.events.sources.complete_journey import CompleteJourney
from recsys_assets.events.sources.movielens import MovieLens100K
from recsys_assets.events.sources.parquet import ParquetSource

__all__ = ["CompleteJourney", "MovieLens100K", "ParquetSource", "Source", "open_source"]


class Source(Protocol):
    """A shop's data as delivered, in the contract's columns and types, not yet validated.

    `last_day` is None where days go on.
    """

    name: str

    @property
    def first_day(self) -> date:
        """The first day with events."""

    @property
    def last_day(self) -> date | None:
        """The last day with events."""

    @property
    def user_attributes(self) -> tuple[str, ...]:
        """Names of the categorical attributes of a user."""

    def interactions(self, days: Collection[date]) -> pl.DataFrame:
        """Rows that concern the given UTC event days; more rows may come along.

        Columns: those of the contract, `source_file`, and `delivered_day`: the day that a row
        was delivered for, which is where it is quarantined if its own time cannot be used. Null
        where the source does not say.

        Raises:
            BrokenInput: a file cannot be read or does not keep the contract.
        """

    def items(self) -> pa.Table:
        """The catalogue."""

    def withdrawn_items(self) -> pa.Table:
        """Products that history names and the first catalogue lacks; often no rows."""

    def users(self) -> pa.Table:
        """Users with attributes; users who interact need not be here."""

    def promotions(self) -> pa.Table:
        """Planned promotions; no rows where the source has none."""


def open_source(
    name: str, *, packaged_data: Path, url: str | None, first_day: date, last_day: date | None
) -> Source:
    """The source of that name; `url` and the days matter to `parquet` alone.

    Raises:
        ValueError: no source has that name, or `parquet` has no URL.
    """
    if name == CompleteJourney.name:
        return CompleteJourney(packaged_data)
    if name == MovieLens100K.name:
        return MovieLens100K(packaged_data)
    if name == ParquetSource.name and url:
        return ParquetSource(url, first_day, last_day)
    raise ValueError(
        f"source {name!r} with URL {url!r} is unknown: use complete_journey, movielens_100k, "
        "or parquet with a URL"
    )
