"""What happened in a recorded shop."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from recsys_assets.events.contract import INTERACTIONS
from recsys_assets.events.sources import Source


@dataclass(frozen=True)
class Recording:
    """Tables in the contract's columns; `events` are those of the chosen households, by time."""

    events: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame
    promotions: pl.DataFrame

    @classmethod
    def of(cls, source: Source, households: int | None, seed: int = 0) -> "Recording":
        """Reads a source to its last day.

        Args:
            source: a recording, which has a last day.
            households: how many of its users, drawn at random; None for all.
            seed: of the draw.
        """
        assert source.last_day is not None
        days = list(_days(source.first_day, source.last_day))
        events = source.interactions(days).select(INTERACTIONS.names)
        events = events.filter(pl.col("timestamp").dt.date().is_in(days))
        if households is not None:
            chosen = _draw(events["user_id"].unique().sort(), households, seed)
            events = events.filter(pl.col("user_id").is_in(chosen.implode()))
        items, promotions = (
            pl.DataFrame(pl.from_arrow(rows)).filter(
                pl.col("item_id").is_in(events["item_id"].unique().implode())
            )
            for rows in (source.items(), source.promotions())
        )
        users = pl.DataFrame(pl.from_arrow(source.users()))
        return cls(
            events.sort("timestamp", "user_id", "item_id", maintain_order=True),
            items,
            users.filter(pl.col("user_id").is_in(events["user_id"].unique().implode())),
            promotions,
        )

    def on(self, day: date) -> pl.DataFrame:
        """The events of a day."""
        return self.events.filter(pl.col("timestamp").dt.date() == day)


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def _draw(users: pl.Series, count: int, seed: int) -> pl.Series:
    chosen = np.random.default_rng(seed).permutation(len(users))[:count]
    return users.gather(np.sort(chosen))
