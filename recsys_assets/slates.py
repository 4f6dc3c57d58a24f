"""Slates: the first k items that a method would show, as int32 [requests, k] of item rows.

A method with fewer than k items to show pads with -1, which is never a hit.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from recsys_assets.runtime.pace import Progress, silent

if TYPE_CHECKING:
    from scipy import sparse

PADDING = -1
DEPTH = 300  # how deep every method's slate is kept
_BLOCK = 256  # requests scored at a time: 94 MB of scores for 92,000 items

# Requests [start, stop) -> float32 scores [stop - start, items], a new array; higher is better.
Scorer = Callable[[int, int], np.ndarray]


def rank(
    scorer: Scorer,
    excluded: "sparse.csr_matrix",
    tie_break: np.ndarray,
    k: int = DEPTH,
    progress: Progress = silent,
) -> np.ndarray:
    """The k best items of each request over the whole catalogue.

    Args:
        scorer: scores of a block of requests; -inf means cannot be shown.
        excluded: CSR [requests, items]; stored entries are never shown.
        tie_break: [items]; of equal scores the item with the larger value comes first, then the
            earlier row, so a method that knows nothing about a household falls back to this.
        k: length of a slate.
        progress: counts requests.

    Returns:
        int32 [requests, k], padded with -1.

    Raises:
        ValueError: a score is not a number, or +inf.
    """
    n, items = excluded.shape
    position = np.empty(items, dtype=np.int64)  # in the order of the tie break
    position[np.argsort(-tie_break, kind="stable")] = np.arange(items)
    slates = np.full((n, k), PADDING, dtype=np.int32)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        scores = scorer(start, stop)
        require_ranked(scores, start)
        for row in range(start, stop):
            of_row = scores[row - start]
            of_row[excluded.indices[excluded.indptr[row] : excluded.indptr[row + 1]]] = -np.inf
            best = _best(of_row, position, k)
            slates[row, : len(best)] = best
        progress(stop, n)
    return slates


def require_ranked(
    scores: np.ndarray,
    first: int,
    method: str = "the method",
    items: np.ndarray | None = None,
) -> None:
    """Refuses scores that have no place in an order: an item would be shown, or not, by chance.

    Args:
        scores: float [n, c].
        first: number of the first of the n requests.
        method: what gave the scores, for the error.
        items: int [c], which items they are of; without, of the whole catalogue.

    Raises:
        ValueError: a score is not a number, or +inf.
    """
    if not scores.max(initial=-np.inf) < np.inf:  # NaN is the largest wherever there is one
        request, column = np.argwhere(~(scores < np.inf))[0]
        item = column if items is None else items[column]
        raise ValueError(
            f"request {first + request}: item {item} has the score {scores[request, column]}, "
            f"which nothing can be ordered by: {method} has diverged or divides by 0; train or fit "
            "it again. Only -inf says that an item is not shown"
        )


def _best(scores: np.ndarray, position: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest finite scores, best first, equal ones by position."""
    if k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > threshold)
        level = np.flatnonzero(scores == threshold)
        level = level[np.argsort(position[level])][: k - len(above)]
        candidates = np.concatenate([above, level])
    else:
        candidates = np.arange(len(scores))
    candidates = candidates[np.isfinite(scores[candidates])]
    return candidates[np.lexsort((position[candidates], -scores[candidates]))]


def slate_faults(slates: np.ndarray, excluded: "sparse.csr_matrix") -> dict[str, int]:
    """Counts what a slate must never hold: an excluded item, an item twice, a gap."""
    n, items = excluded.shape
    shown = slates != PADDING
    keys = np.arange(n)[:, None] * items + slates
    matrix = excluded.tocoo()
    forbidden = matrix.row.astype(np.int64) * items + matrix.col
    ordered = np.sort(slates, axis=1)
    return {
        "seen_items": int(np.isin(keys[shown], forbidden).sum()),
        "repeated_items": int(((np.diff(ordered) == 0) & (ordered[:, 1:] != PADDING)).sum()),
        "gaps": int((np.diff(shown.astype(np.int8)) > 0).sum()),
        "unknown_items": int(((slates < PADDING) | (slates >= items)).sum()),
    }
