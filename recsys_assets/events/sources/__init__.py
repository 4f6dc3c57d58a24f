"""Where the input tables come from: recordings, or a shop's own Parquet files."""

from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Protocol

import polars as pl
import pyarrow as pa

from recsys_assets.events.sources.complete_journey import CompleteJourney
from recsys_assets.events.sources.diginetica import Diginetica
from recsys_assets.events.sources.movielens import MovieLens100K
from recsys_assets.events.sources.parquet import ParquetSource
from recsys_assets.events.sources.yoochoose import YooChoose
from recsys_assets.storage.filesystem import local_path

__all__ = [
    "CompleteJourney",
    "Diginetica",
    "MovieLens100K",
    "ParquetSource",
    "Source",
    "YooChoose",
    "open_source",
]


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
    """The source of that name; the days matter to `parquet` alone.

    `url` says where `parquet` is, and in which folder the publisher's files of `yoochoose` and
    `diginetica` are.

    Raises:
        ValueError: no source has that name, or it has no URL that it can read.
    """
    for packaged in (CompleteJourney, MovieLens100K):
        if name == packaged.name:
            return packaged(packaged_data)
    if name == ParquetSource.name and url:
        return ParquetSource(url, first_day, last_day)
    folder = local_path(url) if url else None
    for published in (YooChoose, Diginetica):
        if name == published.name and folder:
            return published(folder)
    raise ValueError(
        f"source {name!r} with URL {url!r} is unknown: use complete_journey, movielens_100k, "
        "parquet with a URL, or yoochoose or diginetica with the file:// URL of a folder"
    )
