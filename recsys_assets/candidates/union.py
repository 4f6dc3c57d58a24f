"""UnitedCandidates of several sources united: one pass over arrays for a block of customers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recsys_assets.candidates.declarations import CandidateSource
from recsys_assets.candidates.sources import Sources
from recsys_assets.runtime.pace import Progress, silent
from recsys_assets.slates import require_ranked

_BLOCK = 128  # customers at a time: 8 MB for a source that knows 16,000 items


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
    items = sources.known.items
    request = np.repeat(np.arange(len(users)), [len(taken) for taken in excluded])
    taken = np.concatenate([np.zeros(0, np.int64), *excluded])
    brought, ranked = [], []
    for source in declared:
        scores = source.score(sources, users)
        require_ranked(scores.values, first, f"candidate source {source.name!r}", scores.items)
        scores.exclude(request, taken)
        row, item = scores.best(source.quota)
        brought.append(row * items + item)
        if source.ranked:
            ranked.append(scores)
    keys = np.unique(np.concatenate([np.zeros(0, np.int64), *brought]))
    found_by = np.zeros(len(keys), dtype=np.uint32)
    for number, theirs in enumerate(brought):
        found_by[np.searchsorted(keys, theirs)] |= np.uint32(1 << number)
    row, item = np.divmod(keys, items)
    return UnitedCandidates(
        starts=np.searchsorted(row, np.arange(len(users) + 1)),
        item=item.astype(np.int32),
        found_by=found_by,
        scores=np.stack([scores.at(row, item) for scores in ranked], axis=1)
        if ranked
        else np.zeros((len(row), 0), dtype=np.float32),
    )
