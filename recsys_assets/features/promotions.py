"""From spans of a promotion plan to the moments at which its values change."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.features.declarations import ITEM_PROMOTIONS

TIMESTAMP = pa.timestamp("us", tz="UTC")
# 1970-01-02, from when on online values are sent (`online.py`), and 2200. A plan from 1900 to 9999
# is valid for ever, which not every engine can count to: pandas ends in 2262.
_EVER = (86_400_000_000, 7_258_118_400_000_000)


def change_rows(promotions: pa.Table) -> pa.Table:
    """A row for each moment at which a promotion of an item begins or ends.

    Args:
        promotions: item_id, valid_from, valid_to (not included), display, mailer; spans of one
            item may overlap.

    Returns:
        item_id, event_timestamp, display, mailer (float64, 0 where no promotion is valid), by
        item and time: the strongest of the promotions that are valid from then on. Moments at
        which no value changes have no row; those before 1970-01-02 and after 2200 count
        as these.
    """
    items, item = np.unique(
        np.array(promotions["item_id"].to_pylist(), dtype=object), return_inverse=True
    )
    since, until = (
        promotions[name].cast(TIMESTAMP).cast(pa.int64()).to_numpy().clip(*_EVER)
        for name in ("valid_from", "valid_to")
    )
    moments, position = np.unique(np.concatenate([since, until]), return_inverse=True)
    span = max(len(moments), 1)
    begins, ends = item * span + position[: len(item)], item * span + position[len(item) :]
    changes = np.unique(np.concatenate([begins, ends]))
    first, last = np.searchsorted(changes, begins), np.searchsorted(changes, ends)
    covered = _ranges(first, last)
    columns = {}
    for name in ITEM_PROMOTIONS.columns:
        given = pc.fill_null(promotions[name].cast(pa.float64()), 0.0).to_numpy()
        values = np.zeros(len(changes))
        np.maximum.at(values, covered, np.repeat(given, last - first))
        columns[name] = values
    kept = _differs_from_before(changes // span, list(columns.values()))
    return pa.table(
        {
            "item_id": pa.array(items[changes[kept] // span].tolist(), pa.string()),
            "event_timestamp": pa.array(moments[changes[kept] % span], pa.int64()).cast(TIMESTAMP),
            **{name: pa.array(values[kept]) for name, values in columns.items()},
        }
    )


def _ranges(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """first[0] ... last[0]-1, first[1] ... last[1]-1, and so on: int64."""
    length = last - first
    offset = np.repeat(first - np.concatenate([[0], np.cumsum(length)[:-1]]), length)
    return np.arange(int(length.sum())) + offset


def _differs_from_before(item: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    """Whether a row is its item's first, or some value is not that of the row before it."""
    differs = np.ones(len(item), dtype=bool)
    same_item = item[1:] == item[:-1]
    unchanged = np.all([values[1:] == values[:-1] for values in columns], axis=0)
    differs[1:] = ~(same_item & unchanged)
    return differs
