"""Second stage of a request: the nearest items, less those that the user has seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from recsys_assets.models.device import Device
from recsys_assets.models.index.index_kinds import DEEPER
from recsys_assets.pipeline.circuit import Circuit, StoreUnavailable
from recsys_assets.pipeline.query import Queries
from recsys_assets.pipeline.requests import Requests
from recsys_assets.pipeline.seen_settings import Unchecked, WhenDown, without_filters

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

    `enough` are left after seen items were taken out, or the search goes deeper. `budget` is the
    index's search budget.
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


@dataclass(frozen=True)
class Candidates:
    """Candidates of n requests: `rows` int64 [m_i] each, best first; `degraded` bool [n].

    `refused` bool [n] have none: what the user has seen is not known, and the shop wants it known.
    `checked` candidates were held against filters of seen items, which held `excluded` of them.
    """

    rows: list[np.ndarray]
    degraded: np.ndarray
    refused: np.ndarray
    checked: int
    excluded: int


@dataclass
class RetrieveStage:
    """Searches the index and takes out seen items.

    `budgets` are the search budgets that the index knows.
    """

    index: Index
    items: int
    seen_items: SeenFilter
    when_down: WhenDown = WhenDown.SHOW
    circuit: Circuit = field(default_factory=Circuit)
    budgets: frozenset[str] = frozenset({"normal"})

    @classmethod
    def load(
        cls, folder: Path, items: int, seen_items: SeenFilter, when_down: WhenDown, device: Device
    ) -> "RetrieveStage":
        """From the version folder of a release of so many items."""
        from recsys_assets.models.index.index import ItemIndex

        index = ItemIndex(folder / "item_index", device=device)
        budgets = frozenset(index.description.budgets)
        return cls(index, device.most(items), seen_items, when_down, budgets=budgets)

    def run(self, requests: Requests, queries: Queries, depth: Depth) -> Candidates:
        """Finds candidates for n requests.

        The nearest `depth.candidates` items are asked for, and those seen are left out. Where
        fewer than `enough` or k are left, of a user who has bought most of them, the search goes
        deeper. The best `ranked` are kept, and no fewer than k.
        """
        rows: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(requests)
        degraded, refused = queries.degraded.copy(), np.zeros(len(requests), dtype=bool)
        checked = excluded = 0
        searching, count = np.arange(len(requests)), min(depth.candidates, self.items)
        while len(searching):
            found, _ = self.index.search(queries.embeddings[searching], count, depth.budget)
            kept, missed = self._unseen([requests.user_ids[i] for i in searching], found)
            degraded[searching] |= missed.degraded
            refused[searching] |= missed.refused
            for i, items in zip(searching, kept, strict=True):
                rows[i] = items[: max(depth.ranked, requests.ks[i])]
            checked += found.size
            excluded += found.size - sum(map(len, kept))
            if count == self.items:
                break
            wanted = np.maximum(requests.ks[searching], depth.enough)
            lengths = np.array([len(items) for items in kept])
            searching = searching[lengths < wanted]
            count = min(count * DEEPER, self.items)
        return Candidates(rows, degraded, refused, checked, excluded)

    def _unseen(self, users: list[str], rows: np.ndarray) -> tuple[list[np.ndarray], Unchecked]:
        """Rows [n, count] less what each user has seen, and where that is not known."""
        complete = rows.min() != NO_ROW
        found = list(rows) if complete else [row[row != NO_ROW] for row in rows]
        try:
            seen = self.circuit.call(lambda: self.seen_items.seen_rows(users, found))
        except StoreUnavailable:
            return found, without_filters(users, self.when_down)
        kept = [items[~out] for items, out in zip(found, seen, strict=True)]
        nobody = np.zeros(len(users), dtype=bool)
        return kept, Unchecked(degraded=nobody, refused=nobody)
