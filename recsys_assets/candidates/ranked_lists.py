"""Ranked candidates of known customers, as a release carries them. Runs in both environments.

One Arrow file, sorted by customer, that is mapped and not read: all processes of a server share
its pages, and a customer is found by bisection without an index beside it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

FILE = "ranked_candidates.arrow"


@dataclass(frozen=True)
class RankedList:
    """Candidates of one customer, best first.

    `rows` int32 [m] are rows of the catalogue or of the index; `scores` float32 [m] log-odds.
    """

    rows: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class RankedLists:
    """Candidates of n customers.

    Attributes:
        user_ids: string [n], rising.
        starts: int32 or int64 [n + 1], where each customer's candidates begin.
        rows: int32 [m], items, best first.
        scores: float32 [m].
    """

    user_ids: pa.StringArray
    starts: np.ndarray
    rows: np.ndarray
    scores: np.ndarray

    @classmethod
    def none(cls) -> "RankedLists":
        """Of a shop that has no ranker of candidates yet."""
        return cls.of_users([], np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0))

    @classmethod
    def of_users(
        cls, user_ids: Sequence[str], starts: np.ndarray, rows: np.ndarray, scores: np.ndarray
    ) -> "RankedLists":
        """Of distinct customers in any order.

        Args:
            user_ids: n of them.
            starts: int64 [n + 1].
            rows: int [m], best first within a customer.
            scores: float [m], finite.
        """
        order = np.argsort(np.array(user_ids, dtype=object), kind="stable")
        lengths = np.diff(starts)
        sorted_starts = np.concatenate([[0], np.cumsum(lengths[order])])
        # Where each candidate of the sorted customers stood before.
        source = np.arange(len(rows)) + np.repeat(
            starts[:-1][order] - sorted_starts[:-1], lengths[order]
        )
        return cls(
            pa.array([user_ids[place] for place in order], pa.string()),
            sorted_starts,
            rows[source].astype(np.int32),
            scores[source].astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.user_ids)

    def of(self, user_id: str) -> RankedList | None:
        """Of one customer; None where there are none."""
        place = bisect_left(range(len(self)), user_id, key=self._user_id)
        if place == len(self) or self._user_id(place) != user_id:
            return None
        start, stop = int(self.starts[place]), int(self.starts[place + 1])
        return RankedList(self.rows[start:stop], self.scores[start:stop])

    def renumbered(self, new: np.ndarray) -> "RankedLists":
        """With other numbers of the items: `new[row]` int [items], -1 = the item is left out."""
        rows = new[self.rows]
        kept = rows >= 0
        starts = np.concatenate([[0], np.cumsum(kept)])[self.starts]
        return replace(
            self, starts=starts, rows=rows[kept].astype(np.int32), scores=self.scores[kept]
        )

    def save(self, folder: Path) -> None:
        """Writes them."""
        offsets = pa.array(self.starts, pa.int64())
        columns = {
            "user_id": self.user_ids,
            "rows": pa.LargeListArray.from_arrays(offsets, pa.array(self.rows)),
            "scores": pa.LargeListArray.from_arrays(offsets, pa.array(self.scores)),
        }
        batch = pa.record_batch(columns)
        with pa.ipc.new_file(str(folder / FILE), batch.schema) as file:
            file.write_batch(batch)

    @classmethod
    def load(cls, folder: Path) -> "RankedLists":
        """Maps what `save` wrote; none where a release was made without them."""
        if not (folder / FILE).exists():
            return cls.none()
        batch = pa.ipc.open_file(pa.memory_map(str(folder / FILE))).get_batch(0)
        lists = batch.column("rows")
        return cls(
            batch.column("user_id"),
            lists.offsets.to_numpy(),
            lists.values.to_numpy(),
            batch.column("scores").values.to_numpy(),
        )

    def _user_id(self, place: int) -> str:
        user_id: str = self.user_ids[place].as_py()
        return user_id
