"""Reads what both models train on from the store. Runs in both environments."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.features.attributes import attribute_names
from recsys_assets.features.training_examples import VALIDATION_DAYS
from recsys_assets.retrieval.examples import Examples, UnusableExamples, from_table
from recsys_assets.retrieval.item_history import ItemHistory, midnight_after
from recsys_assets.storage import Store


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
        UnusableExamples: there is nothing to train on, or an item has no text embedding.
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
    """First purchases up to and including `through`; the split is by that day too."""
    initial = store.table("training_examples").read()
    newest = pc.max(initial.column("timestamp")).as_py()
    last = f"{newest:%Y-%m-%d}" if newest else through
    later = _days_with_events(store, last, through)
    tables = [initial]
    if later:
        added = store.table("daily_examples").read(later, initial.column_names)
        tables.append(added.cast(initial.schema))
    examples = pa.concat_tables(tables)
    end = datetime.fromtimestamp(midnight_after(through), UTC)
    time = examples.column("timestamp")
    is_validation = pc.greater_equal(time, pa.scalar(end - timedelta(VALIDATION_DAYS), time.type))
    split = pc.if_else(is_validation, "validation", "train")
    column = examples.column_names.index("split")
    return examples.set_column(column, "split", split).filter(
        pc.less(time, pa.scalar(end, time.type))
    )


def _days_with_events(store: Store, after: str, through: str) -> list[str]:
    """Days later than `after`, up to `through`, on which anything happened."""
    table = store.table("interactions")
    days = [day for day in table.days() if after < day <= through]
    return [day for day in days if table.row_count([day])]


def interactions(store: Store, through: str) -> pa.Table:
    """user_id, item_id, timestamp and event of the days up to and including `through`."""
    table = store.table("interactions")
    days = [day for day in table.days() if day <= through]
    return table.read(days, ["user_id", "item_id", "timestamp", "event"])


def text_embeddings(store: Store, item_ids: np.ndarray) -> np.ndarray:
    """Text embeddings float32 [n, t] in the order of `item_ids`.

    Raises:
        UnusableExamples: an item has none.
    """
    table = store.table("item_text_embeddings").read()
    row = {item: n for n, item in enumerate(table.column("item_id").to_pylist())}
    missing = [item for item in item_ids if item not in row]
    if missing:
        raise UnusableExamples(
            f"{len(missing)} items of the catalogue have no text embedding, {missing[0]!r} among "
            "them: materialize item_text_embeddings again, after items"
        )
    vectors = table.column("embedding").combine_chunks()
    matrix = vectors.flatten().to_numpy().reshape(len(table), vectors.type.list_size)
    return matrix[[row[item] for item in item_ids]].astype(np.float32)
