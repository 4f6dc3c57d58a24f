"""Reads what both models train on from the store. Runs in both environments.

Also what is known of the catalogue at the end of a day, and the item embeddings that follow.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.content.encoder import embeddings_from_arrow
from recsys_assets.features.attributes import attribute_names
from recsys_assets.models.examples import DAY_SECONDS, Examples, UnusableExamples, from_table
from recsys_assets.models.item_history import Columns, ItemHistory, midnight_after
from recsys_assets.models.towers import ItemTower
from recsys_assets.settings.days import VALIDATION_DAYS
from recsys_assets.storage import Store

_READERS = 8  # of days at a time


@dataclass(frozen=True)
class TrainingData:
    """Examples of the training span, the items' history, and their texts.

    Attributes:
        through: the last day of the span, YYYY-MM-DD.
        examples: first-time purchases of the whole span, its last days to validate on.
        history: what was known of every item at any moment of it.
        text: float32 [items, t], text embeddings in catalogue order.
        user_attributes: categorical columns of `users`.
        purchases: rows of `interactions`: user_id, item_id, timestamp and event.
    """

    through: str
    examples: Examples
    history: ItemHistory
    text: np.ndarray
    user_attributes: list[str]
    purchases: pa.Table


def load_training_data(store: Store, through: str) -> TrainingData:
    """Everything up to and including the day `through` (YYYY-MM-DD).

    Examples are those of the history that the first release knew, `training_examples`, then a
    partition of `daily_examples` for each day after it.

    Raises:
        MissingPartition: a table, or a day of it, has not been written.
        UnusableExamples: there is nothing to train on, or no text embedding at all.
    """
    history = ItemHistory.load(store, through)
    users = store.table("users").read()
    attributes = attribute_names("users", users.column_names)
    return TrainingData(
        through=through,
        examples=from_table(_examples(store, through), attributes, history.item_ids),
        history=history,
        text=text_embeddings(store, history.item_ids),
        user_attributes=attributes,
        purchases=interactions(store, through),
    )


def _examples(store: Store, through: str) -> pa.Table:
    """First purchases up to and including `through`; the split is by that day too.

    Of a day that is also in `daily_examples` those count: what has come late is among them. A day
    may have an attribute of users that earlier ones have not.
    """
    initial, table = store.table("training_examples").read(), store.table("daily_examples")
    newest = pc.max(initial.column("timestamp")).as_py()
    last = f"{newest:%Y-%m-%d}" if newest else through
    anew = [day for day in table.days() if day <= min(last, through)]
    replaced = pc.is_in(_epoch_days(initial), value_set=pa.array(map(_epoch_day, anew), pa.int64()))
    with ThreadPoolExecutor(_READERS) as pool:
        days = [*anew, *_days_with_events(store, last, through)]
        daily = list(pool.map(lambda day: table.read([day]), days))
    examples = pa.concat_tables(
        [initial.filter(pc.invert(replaced)), *daily], promote_options="permissive"
    )
    end = datetime.fromtimestamp(midnight_after(through), UTC)
    time = examples.column("timestamp")
    is_validation = pc.greater_equal(time, pa.scalar(end - timedelta(VALIDATION_DAYS), time.type))
    split = pc.if_else(is_validation, "validation", "train")
    column = examples.column_names.index("split")
    return examples.set_column(column, "split", split).filter(
        pc.less(time, pa.scalar(end, time.type))
    )


def _epoch_days(examples: pa.Table) -> pa.ChunkedArray:
    return pc.divide(examples.column("timestamp").cast(pa.int64()), DAY_SECONDS * 1_000_000)


def _epoch_day(day: str) -> int:
    return midnight_after(day) // DAY_SECONDS - 1


def _days_with_events(store: Store, after: str, through: str) -> list[str]:
    """Days later than `after`, up to `through`, on which anything happened."""
    table = store.table("interactions")
    days = [day for day in table.days() if after < day <= through]
    return [day for day in days if table.row_count([day])]


def interactions(
    store: Store,
    through: str,
    columns: tuple[str, ...] = ("user_id", "item_id", "timestamp", "event"),
) -> pa.Table:
    """Columns of the events of the days up to and including `through`."""
    table = store.table("interactions")
    days = [day for day in table.days() if day <= through]
    return table.read(days, list(columns))


def text_embeddings(store: Store, item_ids: np.ndarray) -> np.ndarray:
    """Text embeddings float32 [n, t] in the order of `item_ids`.

    An item that was catalogued since they were made has the mean of all until they are made
    again, as a missing number is the mean: a new product must not stop a training. The check of
    `item_text_embeddings` counts such items.

    Raises:
        MissingPartition: the table has not been written.
        UnusableExamples: it has no row.
    """
    table = store.table("item_text_embeddings").read()
    if not len(table):
        raise UnusableExamples(
            "table 'item_text_embeddings' has no row: materialize it again, after items"
        )
    known = embeddings_from_arrow(table.column("embedding")).astype(np.float32)
    mean = known.mean(axis=0, keepdims=True)
    row = {item: n for n, item in enumerate(table.column("item_id").to_pylist())}
    return np.concatenate([known, mean])[[row.get(item, len(known)) for item in item_ids]]


@dataclass(frozen=True)
class CatalogueSnapshot:
    """What is known of the catalogue at the end of a day.

    History and texts are read once: that of an earlier day comes from a later one's (`as_of`).
    """

    day: str
    history: ItemHistory
    columns: Columns
    text: np.ndarray

    @classmethod
    def at(cls, store: Store, day: str) -> "CatalogueSnapshot":
        """Reads it.

        Raises:
            MissingPartition: a table has not been materialized.
        """
        history = ItemHistory.load(store, day)
        columns = history.snapshot(midnight_after(day))
        return cls(day, history, columns, text_embeddings(store, history.item_ids))

    def as_of(self, day: str) -> "CatalogueSnapshot":
        """What was known at the end of an earlier day, of the items that are in the catalogue now.

        Raises:
            ValueError: the day is later, or no activity was known by its end.
        """
        moment = midnight_after(day)
        if day > self.day:
            raise ValueError(f"what is known by {self.day} does not tell what {day} brings")
        if not (self.history.activity.moments()[:1] <= moment).any():
            raise ValueError(f"table 'item_features' has no day up to {day}: materialize it first")
        return replace(self, day=day, columns=self.history.snapshot(moment))

    def embeddings(self, two_tower: Path) -> np.ndarray:
        """Of every item, float32 [items, d], in catalogue order."""
        return ItemTower(two_tower).embed(self.columns, self.text, midnight_after(self.day))
