"""The reference: how traffic looked in the span that the live release was trained on.

Of each signal the profile keeps a histogram a day, so that any choice of days (one weekday, a
bootstrap draw) is a sum of rows. What depends on the reference itself is taken without the row's
own day: an item's popularity and usual price, as a new day meets them, do not know that day
either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from recsys_assets.features.request_time import UTC
from recsys_assets.monitoring.psi import Bins, NumberBins, fit_bins
from recsys_assets.monitoring.sessions import values
from recsys_assets.monitoring.thresholds import DriftThresholds
from recsys_assets.monitoring.traffic import Traffic, request_columns

NUMBER_BINS = 10
TOP_CATEGORIES = 20
SCORE_BINS = 20
CONTEXT, FEATURES, PRICES, DEMAND = "context", "features", "prices", "demand"
NULLS, UNKNOWN, SCORES, CONCEPT = "nulls", "unknown", "scores", "concept"
_CONTEXT_COLUMNS = ("hour", "device")
_PURCHASE_GROUPS = {
    "price_ratio": PRICES,
    "price": PRICES,
    "discount_share": PRICES,
    "category_l1": DEMAND,
    "popularity": DEMAND,
    "purchase_device": CONTEXT,
}
_THOUSANDTHS = 3  # of a price ratio: closer prices are the same price


@dataclass(frozen=True)
class ModelVocabulary:
    """What the live release has learned: ids with a row of their own, and the shop's time zone."""

    users: frozenset[str]
    items: frozenset[str]
    time_zone: str = UTC


@dataclass(frozen=True)
class Histogram:
    """One signal of the reference: `counts` int64 [days, bins], the last bin is missing values."""

    name: str
    group: str
    bins: Bins
    counts: np.ndarray


@dataclass(frozen=True)
class Usual:
    """How often each item was bought in the reference, and at what mean price.

    Frames with `item_id`, and with `day` for what is taken off: `lines`, `priced`, `price_sum`.
    """

    total: pl.DataFrame
    by_day: pl.DataFrame

    @classmethod
    def fit(cls, purchases: pl.DataFrame) -> "Usual":
        """Sums over all days, and by day."""
        sums = (
            pl.len().cast(pl.Float64).alias("lines"),
            pl.col("price").count().cast(pl.Float64).alias("priced"),
            pl.col("price").sum().alias("price_sum"),
        )
        by_day = purchases.group_by("item_id", "day").agg(*sums)
        total = by_day.group_by("item_id").agg(pl.col("lines", "priced", "price_sum").sum())
        return cls(total, by_day)

    def columns(self, purchases: pl.DataFrame) -> dict[str, np.ndarray]:
        """`popularity` (lines in the reference) and `usual_price` of each row's item.

        Lines of the row's own day, which only days of the reference have, are taken off.

        Returns:
            float64 [n] each; NaN where the item was not bought, or had no price.
        """
        rows = (
            purchases.select("item_id", "day")
            .join(self.total, on="item_id", how="left", maintain_order="left")
            .join(
                self.by_day,
                on=["item_id", "day"],
                how="left",
                maintain_order="left",
                suffix="_own",
            )
            .fill_null(0)
        )
        rest = {
            name: rows[name].to_numpy() - rows[f"{name}_own"].to_numpy()
            for name in ("lines", "priced", "price_sum")
        }
        with np.errstate(invalid="ignore", divide="ignore"):
            usual_price = rest["price_sum"] / rest["priced"]
        return {
            "popularity": np.where(rest["lines"] > 0, rest["lines"], np.nan),
            "usual_price": np.where(rest["priced"] > 0, usual_price, np.nan),
        }


def purchase_columns(purchases: pl.DataFrame, usual: Usual) -> dict[str, np.ndarray]:
    """Values of everything that is watched in purchases.

    Returns:
        `price_ratio` (price over the item's usual price), `price`, `discount_share` (of the
        price), `popularity`, all float64 [n] with NaN; `category_l1` and `purchase_device`,
        object [n] with "".
    """
    price, discount = values(purchases["price"]), values(purchases["discount"])
    found = usual.columns(purchases)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.round(price / found["usual_price"], _THOUSANDTHS)
        discounted = np.where(price > 0, np.nan_to_num(discount) / price, np.nan)
    return {
        "price_ratio": np.where(np.isfinite(ratio), ratio, np.nan),
        "price": price,
        "discount_share": discounted,
        "category_l1": values(purchases["category_l1"]),
        "popularity": found["popularity"],
        "purchase_device": values(purchases["device"]),
    }


def flags_of(traffic: Traffic, known: ModelVocabulary) -> dict[str, np.ndarray]:
    """Rows that the live release cannot know: bool [requests] or bool [purchases].

    Anonymous requests are no unknown users: nobody knows them, by intention.
    """
    users, items = traffic.requests["user_id"], traffic.purchases["item_id"]
    unknown_users = ~users.is_in(list(known.users)) & (users != "")
    return {
        "unknown_users": unknown_users.to_numpy(),
        "unknown_items": (~items.is_in(list(known.items))).to_numpy(),
        "new_items": traffic.purchases["new"].to_numpy(),
    }


@dataclass(frozen=True)
class Profile:
    """The reference of one release.

    Attributes:
        known: its vocabularies.
        usual: popularity and prices of the reference.
        weekdays: int64 [days], Monday 0, of the days that the histograms count.
        requests, purchases: histograms by signal.
        flags: counts of rows by day that are `[not flagged, flagged]`, int64 [days, 2].
        scores: of the release's earlier answers; None before it has any.
        labels: labelled sessions of the release's earlier days.
    """

    known: ModelVocabulary
    usual: Usual
    weekdays: np.ndarray
    requests: Mapping[str, Histogram]
    purchases: Mapping[str, Histogram]
    flags: Mapping[str, np.ndarray]
    scores: Histogram | None
    labels: pl.DataFrame

    @classmethod
    def fit(cls, reference: Traffic, known: ModelVocabulary) -> "Profile":
        """From the reference's traffic."""
        days = np.unique(reference.requests["day"].to_numpy())
        usual = Usual.fit(reference.purchases)
        asked, bought = (_day_rows(f, days) for f in (reference.requests, reference.purchases))
        flags = flags_of(reference, known)
        return cls(
            known=known,
            usual=usual,
            weekdays=_weekdays(days),
            requests={
                name: _histogram(name, _request_group(name), column, asked, len(days))
                for name, column in request_columns(reference.requests, known.time_zone).items()
            },
            purchases={
                name: _histogram(name, _PURCHASE_GROUPS[name], column, bought, len(days))
                for name, column in purchase_columns(reference.purchases, usual).items()
            },
            flags={
                name: count_by(
                    flag.astype(np.int64),
                    asked if name == "unknown_users" else bought,
                    2,
                    len(days),
                )
                for name, flag in flags.items()
            },
            scores=_score_histogram(reference.scores),
            labels=reference.labels,
        )

    def like(self, day: date, thresholds: DriftThresholds) -> np.ndarray:
        """Rows of the reference to compare a day with: its weekday, if there are enough of it."""
        same = np.flatnonzero(self.weekdays == day.weekday())
        enough = len(same) >= thresholds.min_weekday_days
        return same if enough else np.arange(len(self.weekdays))


def flat_scores(scores: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """All scores, float64 [m], and the row of `scores` that each belongs to, int64 [m]."""
    lists = scores["candidate_scores"]
    rows = np.repeat(np.arange(len(scores)), lists.list.len().fill_null(0).to_numpy())
    return lists.explode(empty_as_null=False, keep_nulls=False).cast(pl.Float64).to_numpy(), rows


def _score_histogram(scores: pl.DataFrame) -> Histogram | None:
    if scores.is_empty():
        return None
    days = np.unique(scores["day"].to_numpy())
    flat, rows = flat_scores(scores)
    bins = NumberBins.fit(flat, SCORE_BINS)
    counts = count_by(bins.assign(flat), _day_rows(scores, days)[rows], len(bins.labels), len(days))
    return Histogram("scores", SCORES, bins, counts)


def _request_group(name: str) -> str:
    return CONTEXT if name in _CONTEXT_COLUMNS else FEATURES


def _histogram(
    name: str, group: str, column: np.ndarray, day_rows: np.ndarray, days: int
) -> Histogram:
    bins = fit_bins(column, NUMBER_BINS, TOP_CATEGORIES)
    return Histogram(
        name, group, bins, count_by(bins.assign(column), day_rows, len(bins.labels), days)
    )


def count_by(bins: np.ndarray, rows: np.ndarray, width: int, height: int) -> np.ndarray:
    """Rows of each bin by day (or by whatever `rows` number): int64 [height, width]."""
    return np.bincount(rows * width + bins, minlength=height * width).reshape(height, width)


def _day_rows(frame: pl.DataFrame, days: np.ndarray) -> np.ndarray:
    return np.searchsorted(days, frame["day"].to_numpy())


def _weekdays(days: np.ndarray) -> np.ndarray:
    return (days.astype("datetime64[D]").astype(np.int64) + 3) % 7
