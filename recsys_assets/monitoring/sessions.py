"""Shopping sessions, rebuilt from the interactions with what was known of their users then.

A session is one request for recommendations: who, when, on which device, and the features that
the online store serves on that day. So it is what a replay sends, what traffic is compared with,
and what a release that has never been live can be asked.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recsys_assets.events.purchases import purchased_items
from recsys_assets.features.attributes import user_columns
from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.releases.offline import Sessions
from recsys_assets.settings.days import day_before
from recsys_assets.storage import Store

KEYS = ("session_id", "user_id", "timestamp", "device")
_FEATURES = USER_FEATURES.name


def sessions_of(store: Store, days: Sequence[str]) -> pl.DataFrame:
    """The sessions of some days, ordered by day, time and user.

    Events that share a user, a UTC day and a `session_id` are one session; events without one are
    one session per user, device and day. A session has the time and the device of its first
    event. Features are the user's newest row of the day before or earlier, as the online store
    holds them from midnight on; it keeps the newest row of each user for ever, so all history up
    to the last day is read.

    Args:
        store: holds `interactions`, `user_features` and `user_attributes`.
        days: event days, YYYY-MM-DD.

    Returns:
        `session_id` (made up from user and time where the source has none), `user_id`,
        `timestamp` (UTC, microseconds), `device` ("" where unknown), then every online feature of
        a user by its name: String or Float64, null where nothing is known.

    Raises:
        MissingPartition: a day of `interactions`, or `user_attributes`, is not there.
    """
    opening = _opening_events(store, days)
    attributes = pl.DataFrame(store.table("user_attributes").read()).drop("event_timestamp")
    known = opening.join(attributes, on="user_id", how="left")
    known = _with_activity(store, known, max(days))
    features = user_columns(store)
    numbers = [name for name in features if known.schema[name] != pl.String]
    return known.select(*KEYS, *features).with_columns(pl.col(numbers).cast(pl.Float64))


def to_sessions(frame: pl.DataFrame) -> Sessions:
    """Requests of a release from a frame of `sessions_of`: times in whole seconds, "" and NaN."""
    columns: dict[str, np.ndarray] = {}
    for name in frame.columns:
        if name not in KEYS:
            columns[name] = values(frame[name])
    return Sessions(
        user_id=values(frame["user_id"]),
        timestamp=frame["timestamp"].dt.epoch("s").to_numpy(),
        device=values(frame["device"]),
        columns=columns,
    )


def purchased_before(store: Store, day: str) -> dict[str, set[str]]:
    """What each user had bought before `day` (YYYY-MM-DD) began."""
    bought = purchased_items(store, day_before(day))
    return {user: set(items) for user, items in bought.items()}


def values(column: pl.Series) -> np.ndarray:
    """Texts as objects, "" where missing; numbers as float64, NaN where missing."""
    if column.dtype == pl.String:
        return column.fill_null("").to_numpy().astype(object)
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _opening_events(store: Store, days: Sequence[str]) -> pl.DataFrame:
    events = pl.DataFrame(store.table("interactions").read(days, columns=list(KEYS)))
    # Not every source knows sessions or devices.
    events = events.with_columns(
        pl.col("session_id", "device").cast(pl.String),
        pl.col("timestamp").dt.truncate("1d").alias("midnight"),
    ).with_columns(pl.col("device").fill_null(""))
    unnamed = pl.col("session_id").is_null()
    session = pl.when(unnamed).then("device").alias("unnamed")
    return (
        events.with_columns(session)
        .sort("timestamp", "user_id", "session_id", "device", maintain_order=True)
        .group_by("user_id", "midnight", "session_id", "unnamed", maintain_order=True)
        .first()
        .with_columns(
            pl.col("session_id").fill_null(
                pl.format("{}@{}", "user_id", pl.col("timestamp").dt.epoch("s"))
            )
        )
        .drop("unnamed")
    )


def _with_activity(store: Store, sessions: pl.DataFrame, last_day: str) -> pl.DataFrame:
    """Adds the columns of `user_features` as of each session's midnight."""
    table = store.table(_FEATURES)
    known = [day for day in table.days() if day < last_day]
    if not known:
        types = {"int64": pl.Int64, "float64": pl.Float64, "string": pl.String}
        declared = USER_FEATURES.columns.items()
        return sessions.with_columns(
            pl.lit(None, types[kind]).alias(name) for name, kind in declared
        )
    rows = pl.DataFrame(table.read(known)).sort("event_timestamp")
    return (
        sessions.sort("midnight", maintain_order=True)
        .join_asof(
            rows,
            left_on="midnight",
            right_on="event_timestamp",
            by="user_id",
            strategy="backward",
            check_sortedness=False,  # both are sorted just above; polars cannot see it by group
        )
        .sort("timestamp", "user_id", "session_id", maintain_order=True)
    )
