"""A release asked without Triton and without an online store: to judge it, or to profile it.

The stages are those of a request, from the same files. What differs is where the user's context
comes from: the caller gives it, as it was known at the moment of each request.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys_assets.candidates.ranked_lists import RankedLists
from recsys_assets.pipeline.pipeline import Effort, read_depths
from recsys_assets.pipeline.query import Columns, Queries, Tower
from recsys_assets.pipeline.rank import Ranking, RankStage
from recsys_assets.pipeline.requests import Requests
from recsys_assets.pipeline.retrieve import Depth, Index, RetrieveStage
from recsys_assets.triton.repository import PIPELINE, item_ids

_BATCH = 32
# The candidates ranked ahead of the customers who are going to ask.
Lists = Callable[[Sequence[str]], RankedLists]


@dataclass(frozen=True)
class Sessions:
    """n requests with what was known of their users.

    `user_id` and `device` are object [n], `timestamp` int64 [n] in epoch seconds; `columns` holds
    user attributes and features: object [n] with "" for missing, float64 [n] with NaN.
    """

    user_id: np.ndarray
    timestamp: np.ndarray
    device: np.ndarray
    columns: Columns

    def __len__(self) -> int:
        return len(self.user_id)

    def take(self, rows: np.ndarray) -> "Sessions":
        """The given requests, by number or by mask."""
        return Sessions(
            self.user_id[rows],
            self.timestamp[rows],
            self.device[rows],
            {name: values[rows] for name, values in self.columns.items()},
        )

    def query_columns(self) -> Columns:
        """What the query tower takes."""
        return {**self.columns, "user_id": self.user_id, "device": self.device}


@dataclass(frozen=True)
class Answers:
    """One answer a request.

    Attributes:
        candidates: item ids, object [m] each, best score first.
        scores: float32 [m] each, aligned with the candidates.
        slates: item ids as shown, object [k] each or shorter.
    """

    candidates: list[np.ndarray]
    scores: list[np.ndarray]
    slates: list[np.ndarray]


@dataclass(frozen=True)
class History:
    """In the place of the Bloom filters: exactly what each user has bought.

    `item_ids` are the items by row.
    """

    purchased: Mapping[str, Collection[str]]
    item_ids: np.ndarray

    def seen_rows(self, user_ids: Sequence[str], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each user, which of the given item rows [m_i] the user has bought: bool [m_i]."""
        return [
            np.fromiter(
                (item in self.purchased.get(user, ()) for item in self.item_ids[found]),
                bool,
                len(found),
            )
            for user, found in zip(user_ids, rows, strict=True)
        ]


@dataclass(frozen=True)
class OfflineRelease:
    """The stages of a release: `tower` embeds, `index` finds candidates, `rank` orders.

    `item_ids` are the items by row, object [items]; `lists` gives the candidates ranked ahead of
    customers, by row of an item, when it is told which customers ask.
    """

    tower: Tower
    index: Index
    rank: RankStage
    item_ids: np.ndarray
    depth: Depth
    lists: Lists = lambda _: RankedLists.none()

    @classmethod
    def load(cls, folder: Path, release: int) -> "OfflineRelease":
        """From the folder of a rendered release, `Releases.fetch(release)`."""
        from recsys_assets.models.index.index import ItemIndex
        from recsys_assets.models.towers import QueryTower

        version = folder / "models" / PIPELINE / str(release)
        lists = RankedLists.load(version)
        return cls(
            QueryTower(version / "two_tower"),
            ItemIndex(version / "item_index"),
            RankStage.load(version),
            np.array(item_ids(folder, release), dtype=object),
            read_depths(version)[Effort.FULL],
            lambda _: lists,
        )

    def answer(
        self, sessions: Sessions, purchased: Mapping[str, Collection[str]], k: int = 10
    ) -> Answers:
        """Answers every request.

        Args:
            sessions: the requests.
            purchased: by user, the items that are not to be recommended again.
            k: length of a slate.
        """
        answers = Answers([], [], [])
        retrieve = RetrieveStage(
            self.index,
            len(self.item_ids),
            History(purchased, self.item_ids),
            lists=self.lists(np.unique(sessions.user_id).tolist()),
        )
        for start in range(0, len(sessions), _BATCH):
            batch = sessions.take(np.arange(start, min(start + _BATCH, len(sessions))))
            for ranking in self._rankings(batch, retrieve, k):
                best = np.argsort(-ranking.scores, kind="stable")
                ids = self.item_ids[ranking.rows]
                answers.candidates.append(ids[best])
                answers.scores.append(ranking.scores[best])
                answers.slates.append(ids[ranking.shown])
        return answers

    def _rankings(self, sessions: Sessions, retrieve: RetrieveStage, k: int) -> list[Ranking]:
        count, columns = len(sessions), sessions.query_columns()
        requests = Requests(
            sessions.user_id.tolist(),
            sessions.device.tolist(),
            sessions.timestamp,
            np.full(count, k),
            [""] * count,
        )
        embeddings = self.tower.embed(columns, sessions.timestamp)
        queries = Queries(columns, embeddings, np.zeros(count, dtype=bool))
        found = retrieve.run(requests, queries, self.depth)
        return self.rank.rank(queries, sessions.timestamp, found.rows, found.ahead, requests.ks)
