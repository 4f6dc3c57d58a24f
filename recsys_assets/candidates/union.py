"""UnitedCandidates of several sources united: one pass over arrays for a block of customers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recsys_assets.candidates.declarations import CandidateSource
from recsys_assets.candidates.sources import Sources
from recsys_assets.runtime.pace import Progress, silent
from recsys_assets.slates import require_ranked

_BLOCK = 128  # customers at a time: 47 MB a source for 92,000 items


@dataclass(frozen=True)
class UnitedCandidates:
    """m candidates of n requests, grouped by request, rising by item.

    Attributes:
        starts: int64 [n + 1], where each request's candidates begin.
        item: int32 [m], rows of the catalogue.
        found_by: uint32 [m], bit s is set where source s brought the candidate.
        scores: float32 [m, ranked sources], of every candidate; -inf = the source has none.
    """

    starts: np.ndarray
    item: np.ndarray
    found_by: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def owner(self) -> np.ndarray:
        """The request of each candidate, int64 [m]."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def keys(self, items: int) -> np.ndarray:
        """One number for each pair of request and item, int64 [m], in a catalogue of `items`."""
        return self.owner * items + self.item

    def places(self, scores: np.ndarray) -> np.ndarray:
        """Place of each candidate among those of its request, int64 [m], by falling score [m].

        The best is 0; of equal ones the first comes first.
        """
        owner = self.owner
        order = np.lexsort((-scores, owner))
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order)) - self.starts[owner]
        return places


def unite(
    sources: Sources,
    declared: Sequence[CandidateSource],
    users: np.ndarray,
    excluded: Callable[[int, int], Sequence[np.ndarray]],
    progress: Progress = silent,
) -> UnitedCandidates:
    """The candidates of n requests.

    A source that knows nothing about a customer brings none; without any, a request has none.

    Args:
        sources: of the day.
        declared: which of them, and how many candidates each may bring.
        users: int32 [n], rows of users, -1 = unknown.
        excluded: items that the requests [start, stop) must not get.
        progress: counts requests.

    Raises:
        ValueError: a source gives a score that nothing can be ordered by.
    """
    parts = []
    for start in range(0, len(users), _BLOCK):
        stop = min(start + _BLOCK, len(users))
        block, taken = users[start:stop], excluded(start, stop)
        parts.append(_unite_block(sources, declared, block, taken, start))
        progress(stop, len(users))
    lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.starts) for part in parts)])
    ranked = sum(source.ranked for source in declared)
    return UnitedCandidates(
        starts=np.cumsum(lengths),
        item=np.concatenate([np.zeros(0, np.int32), *(part.item for part in parts)]),
        found_by=np.concatenate([np.zeros(0, np.uint32), *(part.found_by for part in parts)]),
        scores=np.concatenate(
            [np.zeros((0, ranked), np.float32), *(part.scores for part in parts)]
        ),
    )


def _unite_block(
    sources: Sources,
    declared: Sequence[CandidateSource],
    users: np.ndarray,
    excluded: Sequence[np.ndarray],
    first: int,
) -> UnitedCandidates:
    found_by = np.zeros((len(users), sources.known.items), dtype=np.uint32)
    ranked = []
    for number, source in enumerate(declared):
        scores = source.score(sources, users)
        require_ranked(scores, first, f"candidate source {source.name!r}")
        for request, items in enumerate(excluded):
            scores[request, items] = -np.inf
        rows, columns = _best(scores, source.quota)
        found_by[rows, columns] |= np.uint32(1 << number)
        if source.ranked:
            ranked.append(scores)
    row, item = np.nonzero(found_by)
    return UnitedCandidates(
        starts=np.searchsorted(row, np.arange(len(users) + 1)),
        item=item.astype(np.int32),
        found_by=found_by[row, item],
        scores=np.stack([scores[row, item] for scores in ranked], axis=1)
        if ranked
        else np.zeros((len(row), 0), dtype=np.float32),
    )


def _best(scores: np.ndarray, quota: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the `quota` best finite scores of each row; of equal ones any."""
    known = np.flatnonzero((scores > -np.inf).any(axis=0))  # most sources know few of the items
    quota = min(quota, len(known))
    if not quota:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    columns = known[np.argpartition(-scores[:, known], quota - 1, axis=1)[:, :quota]].ravel()
    rows = np.repeat(np.arange(len(scores)), quota)
    finite = np.isfinite(scores[rows, columns])
    return rows[finite], columns[finite]
