"""What drift is measured on: requests, purchases, scores and labels of some days, as frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys_assets.events.ingest import last_seen
from recsys_assets.events.purchases import paid
from recsys_assets.features.declarations import ITEM_FEATURES
from recsys_assets.features.request_time import DAY_SECONDS, local_seconds
from recsys_assets.monitoring.sessions import KEYS, sessions_of, values
from recsys_assets.storage import Store

ANSWER_KEYS = ("user_id", "timestamp", "device")
PURCHASE_COLUMNS = (
    "user_id",
    "item_id",
    "timestamp",
    "event",
    "quantity",
    "price",
    "discount",
    "device",
)
_NOT_FEATURES = {*KEYS, "day", "last_event_at"}
SCORES_SCHEMA = pl.Schema(
    {"day": pl.Date(), "user_id": pl.String(), "candidate_scores": pl.List(pl.Float32())}
)
LABELS_SCHEMA = pl.Schema(
    {
        "day": pl.Date(),
        "user_id": pl.String(),
        "auc": pl.Float64(),
        "predicted": pl.Float64(),
        "observed": pl.Float64(),
    }
)


@dataclass(frozen=True)
class Traffic:
    """Some days of traffic; every frame has `day` (Date) and `user_id`.

    Attributes:
        requests: one row a session: `timestamp`, `device` and the user features it was given.
        purchases: one row a bought line: `item_id`, `category_l1`, `quantity`, `price`,
            `discount`, `device`, and `new`: the item had never been sold before that day.
        scores: `candidate_scores` of the answers of one release, a list a session.
        labels: sessions of one release whose purchases are known: `auc` (null where it cannot
            be had), `predicted` (sum of the slate's scores) and `observed` (items of it bought).
    """

    requests: pl.DataFrame
    purchases: pl.DataFrame
    scores: pl.DataFrame
    labels: pl.DataFrame

    @property
    def revenue(self) -> float:
        """Money taken in these days, discounts taken off."""
        return float(self.purchases.select(paid().sum()).item())


def no_scores() -> pl.DataFrame:
    """Of days without answers."""
    return pl.DataFrame(schema=SCORES_SCHEMA)


def no_labels() -> pl.DataFrame:
    """Of days without known outcomes."""
    return pl.DataFrame(schema=LABELS_SCHEMA)


def recorded_traffic(store: Store, days: Sequence[str]) -> Traffic:
    """Sessions and purchases of days that no release needs to have served.

    Raises:
        MissingPartition: a day of `interactions` is not there.
    """
    return Traffic(
        with_day(sessions_of(store, days)), purchases(store, days), no_scores(), no_labels()
    )


def purchases(store: Store, days: Sequence[str]) -> pl.DataFrame:
    """Purchased lines of some days with their department, and whether the item is new.

    Raises:
        MissingPartition: a day of `interactions` or `item_features`, or `catalogue_history`, is
            not there.
    """
    events = pl.DataFrame(store.table("interactions").read(days, columns=list(PURCHASE_COLUMNS)))
    bought = with_day(events.filter(pl.col("event") == "purchase")).drop("event")
    return (
        bought.with_columns(pl.col("device").cast(pl.String).fill_null(""))
        .join(last_seen(store, ["category_l1"]), on="item_id", how="left", maintain_order="left")
        .join(_first_sold(store, days), on=["item_id", "day"], how="left", maintain_order="left")
        .with_columns(pl.col("new").fill_null(False))
    )


def answered_requests(log: pl.DataFrame) -> pl.DataFrame:
    """One answer a session: the earliest of several, those given without the store left out.

    An answer during an outage of the online store had no features; that is a fault, which has
    its own alarm, and no drift of the world.
    """
    return (
        with_day(log)
        .filter(~pl.col("degraded"))
        .sort("answered_at", maintain_order=True)
        .unique([*ANSWER_KEYS], keep="first", maintain_order=True)
    )


def labels_of(outcomes: pl.DataFrame) -> pl.DataFrame:
    """What concept drift is judged on, from rows of the table `outcomes`."""
    return with_day(outcomes.filter(~pl.col("degraded"))).select(
        "day",
        "user_id",
        "auc",
        predicted=pl.col("scores").list.sum().cast(pl.Float64),
        observed=pl.col("purchased").list.len().cast(pl.Float64),
    )


def with_day(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds `day`, the UTC day of `timestamp`."""
    return frame.with_columns(day=pl.col("timestamp").dt.date())


def request_columns(requests: pl.DataFrame, time_zone: str) -> dict[str, np.ndarray]:
    """Values of everything that is watched in requests.

    The moment of the last event becomes the days since it, for a moment only ever grows.

    Args:
        requests: of `Traffic`.
        time_zone: of the live release, in which it tells the hour.

    Returns:
        `hour` (local), `device`, `recency_days` where `last_event_at` is known, then every feature:
        object [n] with "" for missing, or float64 [n] with NaN.
    """
    moment = requests["timestamp"].dt.epoch("s").to_numpy()
    columns = {
        "hour": np.floor(local_seconds(moment, time_zone) % DAY_SECONDS / 3600),
        "device": values(requests["device"]),
    }
    if "last_event_at" in requests.columns:
        columns["recency_days"] = (moment - values(requests["last_event_at"])) / DAY_SECONDS
    for name in requests.columns:
        if name not in _NOT_FEATURES:
            columns[name] = values(requests[name])
    return columns


def _first_sold(store: Store, days: Sequence[str]) -> pl.DataFrame:
    """`item_id`, `day`, `new` of items first sold on one of the days.

    An item has a row of features for each day on which it is sold.
    """
    columns = ["item_id", "event_timestamp", "first_sold_at"]
    rows = pl.DataFrame(store.table(ITEM_FEATURES.name).read(days, columns))
    first = pl.from_epoch("first_sold_at", "s").dt.date()
    known = pl.col("event_timestamp").dt.date() - pl.duration(days=1)
    return rows.filter(first == known).select("item_id", day=first, new=pl.lit(True))
