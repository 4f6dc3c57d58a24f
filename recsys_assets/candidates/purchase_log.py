"""Purchased lines as codes, in the order of time: what candidate sources and ranker inputs read.

Plain numpy and Arrow. Ids become row numbers once, so that all that follows is arithmetic on
arrays; a line of a product that the catalogue lacks is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.models.examples import DAY_SECONDS
from recsys_assets.models.item_history import ItemHistory, numbers

UNKNOWN = -1
COLUMNS = ("user_id", "item_id", "timestamp", "event", "price", "discount", "store_id")
_CENT = 0.01  # the least price that counts: a logarithm of nothing is no price


@dataclass(frozen=True)
class PurchaseLog:
    """n purchased lines, by rising time.

    Attributes:
        user_ids: object [users], sorted.
        item_ids: object [items], the catalogue in its own order.
        stores: how many stores sold anything.
        attributes: for each categorical column of the catalogue, codes int32 [items]; 0 = missing.
        user: int32 [n], rows of `user_ids`.
        item: int32 [n], rows of `item_ids`.
        store: int32 [n], -1 = unknown.
        day: int32 [n], days since 1970-01-01 UTC.
        log_price: float32 [n], logarithm of the unit price before discount, NaN = unknown.
        discount: float32 [n], share of the price that was let off, 0 where unknown.
        first: bool [n], the user's first line of that item.
    """

    user_ids: np.ndarray
    item_ids: np.ndarray
    stores: int
    attributes: Mapping[str, np.ndarray]
    user: np.ndarray
    item: np.ndarray
    store: np.ndarray
    day: np.ndarray
    log_price: np.ndarray
    discount: np.ndarray
    first: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @classmethod
    def from_tables(
        cls, interactions: pa.Table, items: pa.Table, attributes: Sequence[str]
    ) -> "PurchaseLog":
        """From rows of `interactions` with `COLUMNS`, and of `items`.

        Args:
            interactions: events of any kind, in any order.
            items: the catalogue.
            attributes: its categorical columns.
        """
        catalogue = items.column("item_id").combine_chunks()
        lines = interactions.filter(pc.equal(interactions.column("event"), "purchase"))
        item = pc.index_in(lines.column("item_id"), value_set=catalogue)
        lines = lines.append_column("row", item).filter(pc.is_valid(item)).sort_by("timestamp")
        user_ids, user = _codes(lines.column("user_id"))
        stores, store = _codes(lines.column("store_id"))
        row = lines.column("row").to_numpy().astype(np.int32)
        seconds = pc.divide(lines.column("timestamp").cast(pa.int64()), 1_000_000).to_numpy()
        price = numbers(lines.column("price"))
        off = np.nan_to_num(numbers(lines.column("discount")))
        with np.errstate(invalid="ignore"):
            discount = np.where(price >= _CENT, np.clip(off / np.maximum(price, _CENT), 0, 1), 0)
            log_price = np.where(price >= _CENT, np.log(np.maximum(price, _CENT)), np.nan)
        return cls(
            user_ids=user_ids,
            item_ids=np.array(catalogue.to_pylist(), dtype=object),
            stores=len(stores),
            attributes={name: _codes(items.column(name))[1] + 1 for name in attributes},
            user=user,
            item=row,
            store=store,
            day=(seconds // DAY_SECONDS).astype(np.int32),
            log_price=log_price.astype(np.float32),
            discount=discount.astype(np.float32),
            first=_first_of_pair(user, row, len(catalogue)),
        )

    @classmethod
    def of_catalogue(cls, interactions: pa.Table, history: ItemHistory) -> "PurchaseLog":
        """The same, with a catalogue that is in memory: rows are those of `history.item_ids`."""
        attributes = {
            name: pa.array(values, pa.string(), mask=values == "")
            for name, values in history.attributes.items()
        }
        items = pa.table({"item_id": pa.array(history.item_ids, pa.string()), **attributes})
        return cls.from_tables(interactions, items, list(attributes))


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """The different values in their order, object [m], and codes int32 [n], -1 = missing."""
    values = pc.unique(column.drop_null())
    values = values.take(pc.array_sort_indices(values))
    codes = pc.fill_null(pc.index_in(column, value_set=values), UNKNOWN)
    return np.array(values.to_pylist(), dtype=object), codes.to_numpy().astype(np.int32)


def _first_of_pair(user: np.ndarray, item: np.ndarray, items: int) -> np.ndarray:
    """Which lines, sorted by time, are the first of their user and item: bool [n]."""
    first = np.zeros(len(user), dtype=bool)
    first[np.unique(user.astype(np.int64) * items + item, return_index=True)[1]] = True
    return first
