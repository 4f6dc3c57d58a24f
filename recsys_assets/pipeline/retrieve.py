"""Second stage of a request: candidates, less what is not on sale and what the user has seen.

A customer that the release knows has candidates ranked ahead (`candidates/ranking.py`); for
everybody else, and where too few of those are left, the nearest items are searched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from recsys_assets.candidates.ranked_lists import RankedLists
from recsys_assets.models.device import Device
from recsys_assets.models.index.index_kinds import DEEPER
from recsys_assets.pipeline.available_items import AsReleased, Availability
from recsys_assets.pipeline.circuit import Circuit, StoreUnavailable
from recsys_assets.pipeline.query import Queries
from recsys_assets.pipeline.requests import Requests
from recsys_assets.pipeline.seen_settings import WhenDown, without_filters

NO_ROW = -1  # where the index has found fewer items than asked for


class Index(Protocol):
    """`models.index.index.ItemIndex`."""

    def search(self, queries: np.ndarray, k: int, budget: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 [n, k] and scores float32 [n, k], best first."""


class SeenFilter(Protocol):
    """`seen_items.SeenItems`."""

    def seen_rows(
        self, user_ids: Sequence[str], rows: Sequence[np.ndarray]
    ) -> Sequence[np.ndarray]:
        """For each user, which of the given item rows [m_i] the user has seen: bool [m_i]."""


@dataclass(frozen=True)
class Depth:
    """How much work a request may be: items asked of the index, and items that are ranked.

    `enough` are left after items were taken out, or the search goes deeper. `budget` is the index's
    search budget.
    """

    candidates: int
    enough: int
    ranked: int
    budget: str = "normal"

    def __post_init__(self) -> None:
        if not 1 <= self.enough <= self.ranked <= self.candidates:
            raise ValueError(
                f"candidates {self.candidates}, ranked {self.ranked}, enough {self.enough}: give "
                "1 <= enough <= ranked <= candidates"
            )


@dataclass
class Candidates:
    """Candidates of n requests.

    Attributes:
        rows: int64 [m_i] each, best first.
        ahead: float32 [m_i] each, log-odds of candidates that were ranked ahead; None where the
            candidates were searched.
        degraded: bool [n], the user's features or filters are not known.
        refused: bool [n] have none: what the user has seen is not known, and the shop wants it
            known.
        checked: candidates that were held against filters of seen items.
        excluded: those of them that the filters held.
    """

    rows: list[np.ndarray]
    ahead: list[np.ndarray | None]
    degraded: np.ndarray
    refused: np.ndarray
    checked: int = 0
    excluded: int = 0


@dataclass
class RetrieveStage:
    """Takes candidates from lists or the index, and out of them what must not be shown.

    `lists` are of the index's rows. `budgets` are the search budgets that the index knows.
    `availability` says which items are on sale; those of the release all are, until told otherwise.
    """

    index: Index
    items: int
    seen_items: SeenFilter
    when_down: WhenDown = WhenDown.SHOW
    circuit: Circuit = field(default_factory=Circuit)
    budgets: frozenset[str] = frozenset({"normal"})
    lists: RankedLists = field(default_factory=RankedLists.none)
    availability: Availability = field(default_factory=AsReleased)

    @classmethod
    def load(
        cls, folder: Path, items: int, seen_items: SeenFilter, when_down: WhenDown, device: Device
    ) -> "RetrieveStage":
        """From the version folder of a release of so many items."""
        from recsys_assets.models.index.index import ItemIndex

        index = ItemIndex(folder / "item_index", device=device)
        return cls(
            index,
            device.most(items),
            seen_items,
            when_down,
            budgets=frozenset(index.description.budgets),
            lists=RankedLists.load(folder),
        )

    def run(self, requests: Requests, queries: Queries, depth: Depth) -> Candidates:
        """Finds candidates for n requests.

        A customer's list is taken if at least k of it are left once seen items and those that are
        not on sale are out. Else the nearest `depth.candidates` items are asked for, and the same
        are left out. Where fewer than `enough` or k are left, as of a user who has bought most of
        them, the search goes deeper. The best `ranked` are kept, and no fewer than k.
        """
        count = len(requests)
        found = Candidates(
            rows=[np.empty(0, dtype=np.int64)] * count,
            ahead=[None] * count,
            degraded=queries.degraded.copy(),
            refused=np.zeros(count, dtype=bool),
        )
        listed = self._take_lists(requests, depth, found)
        self._search(requests, queries, depth, np.flatnonzero(~listed), found)
        return found

    def _take_lists(self, requests: Requests, depth: Depth, found: Candidates) -> np.ndarray:
        """Which requests have got enough candidates from lists: bool [n]."""
        listed = np.zeros(len(requests), dtype=bool)
        lists = {
            row: one for row, user in enumerate(requests.user_ids) if (one := self.lists.of(user))
        }
        if not lists:
            return listed
        asked = np.array(list(lists))
        kept = self._showable(requests, asked, [one.rows for one in lists.values()], found)
        for row, left in zip(asked.tolist(), kept, strict=True):
            if len(left) >= requests.ks[row]:
                left = left[: max(depth.ranked, requests.ks[row])]
                found.rows[row] = lists[row].rows[left].astype(np.int64)
                found.ahead[row] = lists[row].scores[left]
                listed[row] = True
        return listed

    def _search(
        self,
        requests: Requests,
        queries: Queries,
        depth: Depth,
        searching: np.ndarray,
        found: Candidates,
    ) -> None:
        """Searches the index for the requests of the given numbers, int64 [m]."""
        count = min(depth.candidates, self.items)
        while len(searching):
            nearest, _ = self.index.search(queries.embeddings[searching], count, depth.budget)
            complete = nearest.min() != NO_ROW
            items = list(nearest) if complete else [row[row != NO_ROW] for row in nearest]
            kept = self._showable(requests, searching, items, found)
            for row, of_row, left in zip(searching.tolist(), items, kept, strict=True):
                found.rows[row] = of_row[left[: max(depth.ranked, requests.ks[row])]]
            if count == self.items:
                break
            wanted = np.maximum(requests.ks[searching], depth.enough)
            searching = searching[np.array([len(left) for left in kept]) < wanted]
            count = min(count * DEEPER, self.items)

    def _showable(
        self, requests: Requests, asked: np.ndarray, items: list[np.ndarray], found: Candidates
    ) -> list[np.ndarray]:
        """Which of its items each of the requests `asked` may be shown: positions int64 [m_i].

        Those on sale that it has not seen.
        """
        seen = self._seen(requests, asked, items, found)
        # After the filters, which take time: what is on sale is as of now.
        return [
            np.flatnonzero(self.availability.on_sale(of_row) & ~out)
            for of_row, out in zip(items, seen, strict=True)
        ]

    def _seen(
        self, requests: Requests, asked: np.ndarray, items: list[np.ndarray], found: Candidates
    ) -> Sequence[np.ndarray]:
        """Which of its items each of the requests `asked` has seen: bool [m_i]."""
        users = [requests.user_ids[row] for row in asked.tolist()]
        found.checked += sum(map(len, items))
        try:
            seen = self.circuit.call(lambda: self.seen_items.seen_rows(users, items))
        except StoreUnavailable:
            missed = without_filters(users, self.when_down)
            found.degraded[asked] |= missed.degraded
            found.refused[asked] |= missed.refused
            return [np.zeros(len(of_row), dtype=bool) for of_row in items]
        found.excluded += sum(int(out.sum()) for out in seen)
        return seen
