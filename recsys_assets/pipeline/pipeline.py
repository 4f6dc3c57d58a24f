"""A batch of requests from beginning to end, without Triton. Runs in the models environment.

    requests -> query -> retrieve -> rank -> slates

All stages are calls in one process, and each computes a whole batch at once: one read of the
online store, one run of every model, one look into the filters of seen items. Whatever does not
depend on the request lies in memory and belongs to the release.

Above capacity a request gets less: fewer candidates, then the popular slate (`Effort`).
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np

from recsys_assets.models.device import CPU, Device
from recsys_assets.pipeline.query import Columns, QueryStage
from recsys_assets.pipeline.rank import STAGE, Ranking, RankStage
from recsys_assets.pipeline.requests import Requests
from recsys_assets.pipeline.retrieve import Depth, RetrieveStage
from recsys_assets.settings import Settings

NEVER = float("inf")


class Effort(IntEnum):
    """How much is done for a request, from all of it to nearly nothing."""

    FULL = 0
    FEWER_CANDIDATES = 1
    POPULAR = 2


@dataclass
class Slates:
    """What a batch of n requests gets.

    Attributes:
        rankings: one a request; None for one that has expired.
        columns: context and features of every request, as the models saw them.
        degraded: bool [n], the answer is less than it should be.
        refused: bool [n], seen items are not known, and the shop wants no answer then.
        seconds: spent in each stage.
        checked: candidates that were held against filters of seen items.
        excluded: those of them that the filters held.
    """

    rankings: list[Ranking | None]
    columns: list[Columns]
    degraded: np.ndarray
    refused: np.ndarray
    seconds: dict[str, float]
    checked: int = 0
    excluded: int = 0


@dataclass
class Pipeline:
    """The stages of one release.

    `depths` say what each effort but the last means, `item_ids` are the items by row.
    """

    query: QueryStage
    retrieve: RetrieveStage
    rank: RankStage
    depths: Mapping[Effort, Depth]
    item_ids: Sequence[str]

    @classmethod
    def load(cls, folder: Path, settings: Settings, device: Device = CPU) -> "Pipeline":
        """From the version folder of a release.

        Raises:
            FileNotFoundError: a file of the release is missing.
            NoGpu: the device cannot be used.
        """
        from recsys_assets.pipeline.circuit import connect
        from recsys_assets.pipeline.seen_items import SeenItems
        from recsys_assets.pipeline.seen_settings import WhenDown
        from recsys_assets.pipeline.shown_items import ShownItems

        ids = json.loads((folder / "item_index" / "item_ids.json").read_text())
        store = connect(settings.online_store_url)
        shown = ShownItems(store, settings.shown_hours) if settings.shown_hours else None
        seen = SeenItems(store, ids, shown=shown)
        return cls(
            QueryStage.load(folder, settings.online_store_url, device),
            RetrieveStage.load(folder, len(ids), seen, WhenDown(settings.seen_when_down), device),
            RankStage.load(folder, device),
            read_depths(folder),
            ids,
        )

    def answer(self, requests: Requests, efforts: np.ndarray, deadlines: np.ndarray) -> Slates:
        """Answers n requests.

        Args:
            requests: n of them.
            efforts: `Effort` of each, int [n]. Less than full effort ignores a search budget.
            deadlines: float64 [n], epoch seconds; a request whose deadline has passed before the
                costly ranking is not ranked.
        """
        slates = Slates(
            rankings=[None] * len(requests),
            columns=[{}] * len(requests),
            degraded=efforts != Effort.FULL,
            refused=np.zeros(len(requests), dtype=bool),
            seconds=dict.fromkeys(("query", "retrieve", "rank"), 0.0),
        )
        for (effort, budget), rows in _groups(efforts, requests.budgets).items():
            if effort == Effort.POPULAR:
                self._popular(requests, rows, slates)
                continue
            depth = self.depths[effort]
            if budget and effort == Effort.FULL:
                depth = replace(depth, budget=budget)
            self._personal(requests, rows, deadlines, depth, slates)
        return slates

    def _personal(
        self,
        requests: Requests,
        rows: np.ndarray,
        deadlines: np.ndarray,
        depth: Depth,
        slates: Slates,
    ) -> None:
        part = requests.take(rows)
        started = time.perf_counter()
        queries = self.query.run(part)
        embedded = time.perf_counter()
        found = self.retrieve.run(part, queries, depth)
        retrieved = time.perf_counter()
        in_time = np.flatnonzero((deadlines[rows] > time.time()) & ~found.refused)
        rankings = self.rank.rank(
            queries.take(in_time),
            part.timestamps[in_time],
            [found.rows[row] for row in in_time],
            [found.ahead[row] for row in in_time],
            part.ks[in_time],
        )
        slates.seconds["query"] += embedded - started
        slates.seconds["retrieve"] += retrieved - embedded
        slates.seconds["rank"] += time.perf_counter() - retrieved
        slates.degraded[rows] |= found.degraded
        slates.refused[rows] = found.refused
        slates.checked += found.checked
        slates.excluded += found.excluded
        for row, ranking in zip(rows[in_time].tolist(), rankings, strict=True):
            slates.rankings[row] = ranking
        self._set_columns(slates, rows, queries.columns)

    def _popular(self, requests: Requests, rows: np.ndarray, slates: Slates) -> None:
        part = requests.take(rows)
        for row, k in zip(rows.tolist(), part.ks.tolist(), strict=True):
            slates.rankings[row] = self.rank.most_popular(k, self.retrieve.availability)
        self._set_columns(slates, rows, self.query.without_features(part))

    @staticmethod
    def _set_columns(slates: Slates, rows: np.ndarray, columns: Columns) -> None:
        lists = {name: values.tolist() for name, values in columns.items()}
        for position, row in enumerate(rows.tolist()):
            slates.columns[row] = {name: values[position] for name, values in lists.items()}


def _groups(efforts: np.ndarray, budgets: list[str]) -> dict[tuple[Effort, str], np.ndarray]:
    """Numbers of the requests of each effort and search budget, int64 [m]."""
    groups: dict[tuple[Effort, str], list[int]] = {}
    for row, (effort, budget) in enumerate(zip(efforts.tolist(), budgets, strict=True)):
        groups.setdefault((Effort(effort), budget), []).append(row)
    return {key: np.array(rows) for key, rows in groups.items()}


def read_depths(folder: Path) -> dict[Effort, Depth]:
    """The depths of a release, from its `stage.json`."""
    stored = json.loads((folder / STAGE).read_text())["depths"]
    return {effort: Depth(**stored[effort.name.lower()]) for effort in list(Effort)[:-1]}
