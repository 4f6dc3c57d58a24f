"""A made-up shop: each day brings the same number of events of the same users and items."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import (
    DELIVERED_DAY,
    INTERACTIONS,
    ITEMS,
    PROMOTIONS,
    SOURCE_FILE,
)
from recsys_assets.events.ingest import record_catalogue
from recsys_assets.features.attributes import ATTRIBUTE_TABLES, attribute_rows, change_rows
from recsys_assets.features.declarations import ITEM_PROMOTIONS
from recsys_assets.monitoring.answer_table import COLUMNS
from recsys_assets.monitoring.request_log import TABLE as REQUEST_LOG
from recsys_assets.settings.days import midnight
from recsys_assets.storage import Store

FIRST_DAY = date(2017, 1, 1)
_SECONDS = 86_400
_SLATE = 10


@dataclass(frozen=True)
class Shop:
    """Sizes that do not depend on the number of days."""

    users: int = 2_000
    items: int = 5_000
    events_per_day: int = 2_000

    @property
    def item_ids(self) -> list[str]:
        """The catalogue."""
        return [f"item-{n}" for n in range(self.items)]

    def interactions(self, days: Collection[date]) -> pl.DataFrame:
        """Rows of the days as a source delivers them; the same ones every time."""
        return pl.concat([self._day(day) for day in sorted(days)])

    def write_entities(self, store: Store) -> None:
        """Catalogue, users and their attribute tables; one item is promoted once."""
        items = [
            {"item_id": item, "text": item, "category_l2": f"c{n % 50}"}
            for n, item in enumerate(self.item_ids)
        ]
        catalogue = pa.Table.from_pylist(items, schema=ITEMS.schema)
        record_catalogue(store, catalogue, FIRST_DAY)
        store.table("items").write(catalogue)
        users = [{"user_id": f"user-{n}", "age": "18-25"} for n in range(self.users)]
        store.table("users").write(pa.Table.from_pylist(users))
        promotion = {
            "item_id": self.item_ids[0],
            "valid_from": midnight(FIRST_DAY),
            "valid_to": midnight(FIRST_DAY + timedelta(days=7)),
            "display": 0.5,
            "mailer": 0.5,
        }
        promotions = pa.Table.from_pylist([promotion], schema=PROMOTIONS.schema)
        store.table(ITEM_PROMOTIONS.name).write(change_rows(promotions))
        for table, entities in ATTRIBUTE_TABLES.items():
            rows = attribute_rows(entities, store.table(entities).read(), FIRST_DAY)
            store.table(table).write(rows)

    def write_answers(self, store: Store, day: date) -> None:
        """The request log of a day: one answer a user."""
        slate, moment = self.item_ids[:_SLATE], midnight(day)
        answers = [
            {
                "request_id": f"{day}/{n}",
                "release": 1,
                "user_id": f"user-{n}",
                "device": "web",
                "timestamp": moment,
                "answered_at": moment,
                "degraded": False,
                "k": _SLATE,
                "item_ids": slate,
                "scores": [0.5] * _SLATE,
                "candidate_ids": slate,
                "candidate_scores": [0.5] * _SLATE,
            }
            for n in range(self.users)
        ]
        rows = pa.Table.from_pylist(answers, schema=COLUMNS)
        store.table(REQUEST_LOG).write(rows, day.isoformat())

    def _day(self, day: date) -> pl.DataFrame:
        draw, count = np.random.default_rng(day.toordinal()), self.events_per_day
        users = draw.integers(0, self.users, count)
        items = (self.items * draw.random(count) ** 3).astype(int)  # few sell often, most rarely
        seconds = np.sort(draw.integers(0, _SECONDS, count))
        rows = {
            "user_id": [f"user-{n}" for n in users],
            "item_id": [f"item-{n}" for n in items],
            "timestamp": [midnight(day) + timedelta(seconds=int(second)) for second in seconds],
            "event": np.where(draw.random(count) < 0.1, "view", "purchase").tolist(),
            "session_id": [f"user-{n}/{day}" for n in users],
            "quantity": [1] * count,
            "price": np.round(draw.random(count) * 20, 2).tolist(),
        }
        columns = [
            pa.array(rows.get(field.name, [None] * count), field.type)
            for field in INTERACTIONS.schema
        ]
        frame = pl.DataFrame(pa.table(columns, schema=INTERACTIONS.schema))
        added = {DELIVERED_DAY: pl.lit(day), SOURCE_FILE: pl.lit("made up")}
        return frame.with_columns(**added)
