"""Where the input tables come from: built-in recordings, or a shop's own Parquet files."""

from datetime import date
from pathlib import Path

from recsys_assets.events.sources.base import Source
from recsys_assets.events.sources.complete_journey import CompleteJourney
from recsys_assets.events.sources.movielens import MovieLens100K
from recsys_assets.events.sources.parquet import ParquetSource

__all__ = ["CompleteJourney", "MovieLens100K", "ParquetSource", "Source", "open_source"]


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
