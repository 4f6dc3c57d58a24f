"""Segments of the evaluation: whom, and which items, a figure is about."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from recsys_assets.evaluation.split import Split

KNOWN_FROM_ITEMS = 50  # distinct items in history from which a household counts as known

DESCRIPTIONS = {
    "all": "every household that asks",
    "known_users": f"at least {KNOWN_FROM_ITEMS} distinct items in history",
    "little_history": f"1 to {KNOWN_FROM_ITEMS - 1} distinct items in history",
    "unseen_users": "nothing in history",
    "new_items": "only items never sold in history count as relevant",
}


@dataclass(frozen=True)
class Segment:
    """Rows of the requests that belong, int64 [m], and what counts as relevant, CSR [m, items]."""

    name: str
    rows: np.ndarray
    relevant: sparse.csr_matrix

    @property
    def relevant_counts(self) -> np.ndarray:
        """Number of relevant items of each request of the segment, int64 [m]."""
        return np.diff(self.relevant.indptr)


def segments(split: Split) -> list[Segment]:
    """The segments that have requests, in the order of `DESCRIPTIONS`."""
    relevant = split.requests.relevant
    items_seen = np.diff(split.requests.seen.indptr)
    new = relevant @ sparse.diags((split.purchases == 0).astype(np.float32))
    new = sparse.csr_matrix(new)
    new.eliminate_zeros()
    chosen = {
        "all": (np.ones(len(items_seen), dtype=bool), relevant),
        "known_users": (items_seen >= KNOWN_FROM_ITEMS, relevant),
        "little_history": ((items_seen > 0) & (items_seen < KNOWN_FROM_ITEMS), relevant),
        "unseen_users": (items_seen == 0, relevant),
        "new_items": (np.diff(new.indptr) > 0, new),
    }
    return [
        Segment(name, np.flatnonzero(mask), matrix[mask])
        for name, (mask, matrix) in chosen.items()
        if mask.any()
    ]
