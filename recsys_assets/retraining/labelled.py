"""Sessions whose outcome is known: who asked, and what was bought for the first time afterwards.

Rebuilt from the interactions, so that releases can be compared on days on which neither of them, or
nothing at all, was live.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from recsys_assets.monitoring.sessions import sessions_of, to_sessions
from recsys_assets.releases.offline import Sessions
from recsys_assets.settings.days import midnight
from recsys_assets.storage import Store


@dataclass(frozen=True)
class LabelledDay:
    """The sessions of one day that led to a first-time purchase.

    Attributes:
        day: YYYY-MM-DD.
        sessions: n requests.
        relevant: n sets of items, bought for the first time within the attribution window.
        purchased: by user, what had been bought before the day.
    """

    day: str
    sessions: Sessions
    relevant: list[frozenset[str]]
    purchased: Mapping[str, frozenset[str]]


def labelled_days(store: Store, days: Sequence[str], attribution_hours: int) -> list[LabelledDay]:
    """Reads and labels the sessions of the given days.

    Args:
        store: holds interactions and user features of the days and of all before them, and
            interactions of the days in which the attribution windows close.
        days: YYYY-MM-DD.
        attribution_hours: a purchase counts that follows a request within these.

    Raises:
        MissingPartition: a day has not been materialized.
    """
    if not days:
        return []
    window = timedelta(hours=attribution_hours)
    closed = midnight(max(days)) + timedelta(days=1) + window
    first = first_purchases(store, closed)
    frame = sessions_of(store, list(days))
    return [_labelled(day, frame, first, window) for day in days]


def first_purchases(store: Store, before: datetime) -> pl.DataFrame:
    """`user_id`, `item_id` and `first_time` of all pairs bought on days begun before `before`."""
    table = store.table("interactions")
    days = [day for day in table.days() if midnight(day) < before]
    events = pl.DataFrame(table.read(days, ["user_id", "item_id", "timestamp", "event"]))
    return (
        events.lazy()
        .filter(pl.col("event") == "purchase")
        .group_by("user_id", "item_id")
        .agg(pl.col("timestamp").min().alias("first_time"))
        .collect()
    )


def _labelled(day: str, frame: pl.DataFrame, first: pl.DataFrame, window: timedelta) -> LabelledDay:
    begins = midnight(day)
    of_day = frame.filter(
        pl.col("timestamp").is_between(begins, begins + timedelta(days=1), closed="left")
    )
    bought = (
        of_day.select("session_id", "user_id", "timestamp")
        .join(first, on="user_id")
        .filter(pl.col("first_time").is_between(pl.col("timestamp"), pl.col("timestamp") + window))
        .group_by("user_id", "session_id")
        .agg("item_id")
    )
    labelled = of_day.join(bought, on=["user_id", "session_id"], how="inner", maintain_order="left")
    earlier = first.filter(pl.col("first_time") < begins).join(
        labelled.select("user_id").unique(), on="user_id", how="semi"
    )
    purchased = earlier.group_by("user_id").agg("item_id").iter_rows()
    return LabelledDay(
        day,
        to_sessions(labelled.drop("item_id")),
        [frozenset(items) for items in labelled["item_id"].to_list()],
        {user: frozenset(items) for user, items in purchased},
    )


def sample(days: Sequence[LabelledDay], most: int, seed: int = 0) -> list[LabelledDay]:
    """At most `most` sessions a day, drawn without replacement; the same ones every time."""
    random = np.random.default_rng(seed)
    drawn = []
    for day in days:
        count = len(day.sessions)
        rows = np.sort(random.permutation(count)[:most])
        relevant = [day.relevant[row] for row in rows]
        drawn.append(LabelledDay(day.day, day.sessions.take(rows), relevant, day.purchased))
    return drawn
