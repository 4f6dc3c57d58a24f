"""What was known of every item at any moment. Runs in both environments.

`item_features` and `item_promotions` hold a row per item and moment at which a value changed; the
row that counts is the last one not after the moment asked for, as in Feast's point-in-time join.
Held in memory, so that training can ask for the features of sampled negatives, and a request for
those of its candidates.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.events.contract import CATALOGUE_HISTORY
from recsys_assets.features.attributes import attribute_names
from recsys_assets.features.declarations import ITEM_FEATURES, ITEM_PROMOTIONS
from recsys_assets.settings.days import midnight
from recsys_assets.storage import Store

Columns = dict[str, np.ndarray]

_KEY_SPAN = np.int64(1) << 34  # more seconds than any timestamp has
WEEK = 7 * 86_400


@dataclass(frozen=True)
class Changes:
    """Values of items, each from a moment on.

    Attributes:
        keys: int64 [changes], item row and time in one sorted number.
        columns: float64 arrays [changes] in that order, NaN = missing.
    """

    keys: np.ndarray
    columns: Columns

    @classmethod
    def from_table(cls, table: pa.Table, item_ids: pa.Array, names: Iterable[str]) -> "Changes":
        """From rows with `item_id` and `event_timestamp`; items that are not listed are left out.

        Args:
            table: the rows, in any order.
            item_ids: the items, in the order of their row numbers.
            names: numeric columns.
        """
        rows = pc.index_in(table.column("item_id"), value_set=item_ids)
        table = table.append_column("row", rows).filter(pc.is_valid(rows))
        seconds = pc.divide(table.column("event_timestamp").cast(pa.int64()), 1_000_000)
        keys = table.column("row").to_numpy().astype(np.int64) * _KEY_SPAN + seconds.to_numpy()
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], {name: numbers(table.column(name))[order] for name in names})

    def at(self, rows: np.ndarray, moments: np.ndarray) -> Columns:
        """Values at the moments, float64 [n] a column, NaN = nothing known yet.

        Args:
            rows: int64 [n], item rows.
            moments: int64 [n] or [1], epoch seconds.
        """
        if not len(self.keys):
            return {name: np.full(len(rows), np.nan) for name in self.columns}
        wanted = rows.astype(np.int64) * _KEY_SPAN + moments
        position = np.searchsorted(self.keys, wanted, side="right") - 1
        found = (position >= 0) & (self.keys[np.maximum(position, 0)] // _KEY_SPAN == rows)
        return {
            name: np.where(found, values[np.maximum(position, 0)], np.nan)
            for name, values in self.columns.items()
        }

    def moments(self) -> np.ndarray:
        """When anything changes: int64 epoch seconds, rising."""
        return np.unique(self.keys % _KEY_SPAN)

    def between(self, first: int, last: int) -> "Changes":
        """What is needed to answer for moments from `first` to `last`, epoch seconds."""
        moment = self.keys % _KEY_SPAN
        following = np.append(self.keys[1:], np.iinfo(np.int64).max)
        counts_at_first = following > self.keys - moment + first
        kept = (moment <= last) & ((moment > first) | counts_at_first)
        return Changes(self.keys[kept], {name: v[kept] for name, v in self.columns.items()})

    def reordered(self, rows: np.ndarray) -> "Changes":
        """The same items in another order: new row n is old row `rows[n]`, int64 [items]."""
        new = np.full(int(self.keys[-1] // _KEY_SPAN) + 1 if len(self.keys) else 0, -1)
        known = rows < len(new)
        new[rows[known]] = np.flatnonzero(known)
        moved = new[self.keys // _KEY_SPAN]
        keys = moved * _KEY_SPAN + self.keys % _KEY_SPAN
        order = np.argsort(keys, kind="stable")
        order = order[moved[order] >= 0]
        return Changes(keys[order], {name: v[order] for name, v in self.columns.items()})

    def save(self, file: Path) -> None:
        """Writes the arrays as .npz."""
        np.savez_compressed(file, allow_pickle=False, keys=self.keys, **self.columns)

    @classmethod
    def load(cls, file: Path) -> "Changes":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
        """
        with np.load(file, allow_pickle=False) as stored:
            return cls(stored["keys"], {name: stored[name] for name in stored if name != "keys"})


def promotions_at(promotions: Changes, rows: np.ndarray, moments: np.ndarray) -> Columns:
    """What is promoted at the moments and what was a week before, 0 where nothing is.

    Args:
        promotions: changes of `item_promotions`.
        rows: int64 [n], item rows.
        moments: int64 [n] or [1], epoch seconds.

    Returns:
        `display`, `mailer`, `display_last_week`, `mailer_last_week`: float64 [n].
    """
    now, before = promotions.at(rows, moments), promotions.at(rows, moments - WEEK)
    named = {**now, **{f"{name}_last_week": values for name, values in before.items()}}
    return {name: np.nan_to_num(values) for name, values in named.items()}


@dataclass(frozen=True)
class ItemHistory:
    """The catalogue in its own order, its attributes, and how it changed.

    Attributes:
        item_ids: object [items].
        attributes: object arrays [items] of the categorical columns of `items`.
        activity: changes of `item_features`.
        promotions: changes of `item_promotions`; planned, so they reach beyond history.
        withdrawn: `item_id` and attributes of items that are no longer in the catalogue; an
            attribute that `catalogue_history` does not keep is missing.
    """

    item_ids: np.ndarray
    attributes: Columns
    activity: Changes
    promotions: Changes
    withdrawn: Columns = field(default_factory=dict)

    @classmethod
    def load(cls, store: Store, through: str) -> "ItemHistory":
        """Activity of the days up to and including `through` (YYYY-MM-DD), and the whole plan.

        Raises:
            MissingPartition: `items` or `item_promotions` has not been written.
            ValueError: `item_features` has no day up to then.
        """
        table = store.table(ITEM_FEATURES.name)
        days = [day for day in table.days() if day <= through]
        if not days:
            raise ValueError(
                f"table {table.name!r} has no day up to {through}: materialize it first"
            )
        activity = table.read(days, ["item_id", "event_timestamp", *ITEM_FEATURES.columns])
        promotions = store.table(ITEM_PROMOTIONS.name).read()
        known = store.table(CATALOGUE_HISTORY.table)
        catalogued = known.read() if known.has() else None  # as in a store of an earlier version
        return cls.from_tables(store.table("items").read(), activity, promotions, catalogued)

    @classmethod
    def from_tables(
        cls,
        items: pa.Table,
        activity: pa.Table,
        promotions: pa.Table,
        catalogued: pa.Table | None = None,
    ) -> "ItemHistory":
        """From the rows of `items`, `item_features`, `item_promotions`, `catalogue_history`."""
        names = attribute_names("items", items.column_names)
        item_ids = items.column("item_id").combine_chunks()
        return cls(
            item_ids=strings(item_ids),
            attributes={name: strings(items.column(name)) for name in names},
            activity=Changes.from_table(activity, item_ids, ITEM_FEATURES.columns),
            promotions=Changes.from_table(promotions, item_ids, ITEM_PROMOTIONS.columns),
            withdrawn={} if catalogued is None else _withdrawn(catalogued, item_ids, names),
        )

    @property
    def ever_catalogued(self) -> Columns:
        """`item_id` and attributes of the catalogue's items, then of those withdrawn from it."""
        present = {"item_id": self.item_ids, **self.attributes}
        gone = self.withdrawn or {name: values[:0] for name, values in present.items()}
        return {name: np.concatenate([values, gone[name]]) for name, values in present.items()}

    def activity_at(self, rows: np.ndarray, moments: np.ndarray) -> Columns:
        """Activity of items [n] at their moments, epoch seconds [n], NaN = nothing known yet."""
        return self.activity.at(rows, moments)

    def promotions_at(self, rows: np.ndarray, moments: np.ndarray) -> Columns:
        """Promotions of items [n] at their moments, epoch seconds [n], and a week before."""
        return promotions_at(self.promotions, rows, moments)

    def snapshot(self, moment: int) -> Columns:
        """All columns of every item at one moment, `item_id` included, in catalogue order."""
        rows, moments = np.arange(len(self.item_ids)), np.array([moment])
        return {
            "item_id": self.item_ids,
            **self.attributes,
            **self.activity_at(rows, moments),
            **self.promotions_at(rows, moments),
        }


def _withdrawn(catalogued: pa.Table, item_ids: pa.Array, names: Iterable[str]) -> Columns:
    """What was seen last of the items that are not among `item_ids`."""
    present = pc.is_in(catalogued.column("item_id"), value_set=item_ids)
    gone = catalogued.filter(pc.invert(present)).sort_by("seen_from")
    ids = strings(gone.column("item_id"))
    last = {item: row for row, item in enumerate(ids.tolist())}  # a later row replaces an earlier
    rows = np.array(list(last.values()), dtype=np.int64)
    missing = np.full(len(gone), "", dtype=object)
    kept = gone.column_names
    attributes = {name: strings(gone.column(name)) if name in kept else missing for name in names}
    return {name: values[rows] for name, values in {"item_id": ids, **attributes}.items()}


def midnight_after(day: str) -> int:
    """Epoch seconds at which the features of `day` (YYYY-MM-DD, UTC) become known."""
    return int((midnight(day) + timedelta(days=1)).timestamp())


def strings(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Object array [n] of strings, "" for null; equal values share one object."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = pc.fill_null(array.cast(pa.string()), "").dictionary_encode()
    values = np.array(encoded.dictionary.to_pylist(), dtype=object)
    return values[encoded.indices.to_numpy()] if len(array) else np.empty(0, dtype=object)


def numbers(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Float64 array [n], NaN for null."""
    return pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()
