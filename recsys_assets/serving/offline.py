"""A release asked without Triton and without an online store: to judge it, or to profile it.

The stages are those of a request, from the same files. What differs is where the user's context
comes from: the caller gives it, as it was known at the moment of each request.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recsys_assets.retrieval.item_tower import ITEM_IDS
from recsys_assets.serving.pipeline import (
    NO_ROW,
    STAGE,
    Columns,
    RankStage,
    RetrieveStage,
    Tower,
)
from recsys_assets.serving.repository import STAGES


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
    """In the place of the Bloom filters: exactly what each user has bought."""

    purchased: Mapping[str, Collection[str]]

    def seen(self, user_ids: Sequence[str], item_ids: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """For each user, which of the given items the user has bought: bool [m_i]."""
        return [
            np.fromiter((item in self.purchased.get(user, ()) for item in items), bool, len(items))
            for user, items in zip(user_ids, item_ids, strict=True)
        ]


@dataclass(frozen=True)
class OfflineRelease:
    """The stages of a release: `tower` embeds, `retrieve` finds candidates, `rank` orders."""

    tower: Tower
    retrieve: RetrieveStage
    rank: RankStage

    @classmethod
    def load(cls, folder: Path, release: int) -> "OfflineRelease":
        """From the folder of a rendered release, `Releases.fetch(release)`."""
        from recsys_assets.retrieval.index import ItemIndex
        from recsys_assets.retrieval.query_tower import QueryTower

        query, retrieve, rank = (folder / "models" / stage / str(release) for stage in STAGES)
        return cls(
            QueryTower(query / "two_tower"),
            RetrieveStage(
                index=ItemIndex(retrieve / "item_index"),
                item_ids=json.loads((retrieve / "item_index" / ITEM_IDS).read_text()),
                seen_items=History({}),
                **json.loads((retrieve / STAGE).read_text()),
            ),
            RankStage.load(rank),
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
        if not len(sessions):
            return answers
        columns = sessions.query_columns()
        rows = self._candidates(sessions, purchased, k)
        for n, found in enumerate(rows):
            user = {name: values[n : n + 1] for name, values in columns.items()}
            moment = int(sessions.timestamp[n])
            ranking = self.rank.ranking(user, moment, found[found != NO_ROW], k)
            best = np.argsort(-ranking.scores, kind="stable")
            ids = self.rank.item_ids[ranking.rows]
            answers.candidates.append(ids[best])
            answers.scores.append(ranking.scores[best])
            answers.slates.append(ids[ranking.shown])
        return answers

    def _candidates(
        self, sessions: Sessions, purchased: Mapping[str, Collection[str]], k: int
    ) -> np.ndarray:
        """Item rows int64 [n, candidates], then `NO_ROW`."""
        count = len(sessions)
        users = np.array([[user.encode()] for user in sessions.user_id.tolist()], dtype=object)
        asked = {
            "user_id": users,
            "k": np.full((count, 1), k, dtype=np.int32),
            "embedding": self.tower.embed(sessions.query_columns(), sessions.timestamp),
            "degraded": np.zeros((count, 1), dtype=bool),
        }
        return replace(self.retrieve, seen_items=History(purchased)).run(asked)["row"]
