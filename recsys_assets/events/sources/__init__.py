"""Where the input tables come from: recordings, or a shop's own Parquet files."""

from datetime import date
from pathlib import Path

from recsys_assets.events.sources.base import Source
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
