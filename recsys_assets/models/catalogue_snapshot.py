"""What is known of the catalogue at the end of a day, and the item embeddings that follow."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys_assets.models.item_history import Columns, ItemHistory, midnight_after
from recsys_assets.models.towers import ItemTower
from recsys_assets.models.training_data import text_embeddings
from recsys_assets.storage import Store


@dataclass(frozen=True)
class CatalogueSnapshot:
    """What is known of the catalogue at the end of a day."""

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

    def embeddings(self, two_tower: Path) -> np.ndarray:
        """Of every item, float32 [items, d], in catalogue order."""
        return ItemTower(two_tower).embed(self.columns, self.text, midnight_after(self.day))
