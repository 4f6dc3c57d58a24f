"""Slates as a table: `method`, `user_id`, `item_ids` (best first), one row per method and request.

Stored by ids, so that they stay readable, and comparable, when the catalogue's order changes.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.evaluation.split import Split
from recsys_assets.slates import DEPTH, PADDING

SCHEMA = pa.schema(
    [
        pa.field("method", pa.string()),
        pa.field("user_id", pa.string()),
        pa.field("item_ids", pa.list_(pa.string())),
    ]
)


class StaleSlates(ValueError):
    """Stored slates that do not answer the requests of the split."""

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(f"slates of {method!r} {reason}: materialize the asset `baselines` again")


def to_arrow(slates: Mapping[str, np.ndarray], split: Split) -> pa.Table:
    """Slates of int32 [requests, k] by method, as a table of `SCHEMA`."""
    item_ids = pa.array(split.item_ids, pa.string())
    user_ids = pa.array(split.requests.user_id, pa.string())
    parts = []
    for method, shown in slates.items():
        present = shown != PADDING
        offsets = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int32)
        values = item_ids.take(pa.array(shown[present]))
        columns = [
            pa.array([method] * len(shown), pa.string()),
            user_ids,
            pa.ListArray.from_arrays(pa.array(offsets), values),
        ]
        parts.append(pa.table(columns, schema=SCHEMA))
    return pa.concat_tables(parts)


def from_arrow(table: pa.Table, split: Split) -> dict[str, np.ndarray]:
    """The inverse of `to_arrow`, int32 [requests, 300] by method in the order of the table.

    Raises:
        StaleSlates: the slates are of other households, or hold items that the catalogue lacks.
    """
    catalogue = pa.array(split.item_ids, pa.string())
    result = {}
    for method in pc.unique(table["method"]).to_pylist():
        rows = table.filter(pc.equal(table["method"], method)).combine_chunks()
        if rows["user_id"].to_pylist() != split.requests.user_id.tolist():
            raise StaleSlates(method, "are of other households than those that ask")
        lists = rows["item_ids"].combine_chunks()
        found = pc.index_in(lists.flatten(), value_set=catalogue)
        if found.null_count:
            raise StaleSlates(method, f"hold {found.null_count} items that `items` lacks")
        lengths = lists.value_lengths().to_numpy()
        shown = np.full((len(rows), DEPTH), PADDING, dtype=np.int32)
        shown[np.arange(DEPTH) < lengths[:, None]] = found.to_numpy()
        result[method] = shown
    return result
