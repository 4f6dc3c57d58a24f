"""The current models, asked the evaluation's requests.

What runs here is what is served: the exported query tower, the stored index, the pipeline's search
for what was not bought yet, the exported ranker.

Where the days after history are measured, item embeddings and index are the stored ones, as a
release serves them. Where the last days of history are held out, those know what is asked; then
both are made here as of the day before, in the same way.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from recsys_assets.candidates.boosted_ranker import BoostedRanker
from recsys_assets.candidates.purchase_log import COLUMNS as LINE_COLUMNS
from recsys_assets.candidates.ranked_lists import RankedLists
from recsys_assets.candidates.ranking import DayCandidates
from recsys_assets.evaluation.split import Split, user_columns
from recsys_assets.models.index.index_kinds import CANDIDATES, ENOUGH, RANKED
from recsys_assets.models.towers import read_embeddings, read_item_ids
from recsys_assets.models.training_data import CatalogueSnapshot, interactions
from recsys_assets.pipeline.query import Queries
from recsys_assets.pipeline.rank import POPULARITY_DISCOUNT, RANKER_WEIGHT, blended, log_sales
from recsys_assets.pipeline.requests import Requests
from recsys_assets.pipeline.retrieve import Depth, Index, RetrieveStage
from recsys_assets.runtime.pace import Progress, paced, silent, told
from recsys_assets.settings.days import Days
from recsys_assets.slates import DEPTH, PADDING, Scorer, rank, require_ranked
from recsys_assets.storage import Store

Columns = Mapping[str, np.ndarray]
AS_SERVED = Depth(CANDIDATES, ENOUGH, RANKED)
PARTS = ("two_tower", "item_embeddings", "item_index", "dlrm", "boosted_ranker")


class CandidateRanker(Protocol):
    """`models.ranker.Ranker`."""

    def score(self, user_columns: Columns, timestamp: int, rows: np.ndarray) -> np.ndarray:
        """Columns of one user, epoch seconds and int64 item rows [m] to float32 [m]."""


def catalogue_rows(item_ids: list[str], split: Split, part: str) -> np.ndarray:
    """For every item of a part, its row in the catalogue: int64 [items].

    Args:
        item_ids: the items of the part, in its order.
        split: knows the catalogue.
        part: name of the asset, for the error.

    Raises:
        ValueError: part and catalogue hold different items, so that methods would rank
            different sets.
    """
    position = {item_id: row for row, item_id in enumerate(split.item_ids)}
    if position.keys() != set(item_ids) or len(position) != len(item_ids):
        difference = len(position.keys() ^ set(item_ids))
        raise ValueError(
            f"{part} has {len(item_ids)} items, {difference} of them or of the {len(position)} in "
            f"the table 'items' only in one: materialize {part} again, after items"
        )
    return np.array([position[item_id] for item_id in item_ids], dtype=np.int64)


def retrieval_scorer(
    queries: Queries, item_embeddings: np.ndarray, item_rows: np.ndarray
) -> Scorer:
    """The two-tower model alone: inner products with every item, exact.

    Args:
        queries: embedded requests.
        item_embeddings: float32 [items, d].
        item_rows: catalogue row of each, from `catalogue_rows`.
    """
    order = np.argsort(item_rows)
    by_catalogue = np.ascontiguousarray(item_embeddings[order].T)
    return lambda start, stop: queries.embeddings[start:stop] @ by_catalogue


class _Bought:
    """What each household has bought before its request, as `RetrieveStage` asks for it."""

    def __init__(self, split: Split, item_rows: np.ndarray) -> None:
        self._requests = {user: row for row, user in enumerate(split.requests.user_id.tolist())}
        self._seen, self._item_rows = split.requests.seen, item_rows

    def seen_rows(
        self, user_ids: Sequence[str], rows: Sequence[np.ndarray]
    ) -> Sequence[np.ndarray]:
        return [
            np.isin(self._item_rows[of_user], self._of(user))
            for user, of_user in zip(user_ids, rows, strict=True)
        ]

    def _of(self, user: str) -> np.ndarray:
        row = self._requests[user]
        return self._seen.indices[self._seen.indptr[row] : self._seen.indptr[row + 1]]


def two_stage_slates(
    queries: Queries,
    index: Index,
    ranker: CandidateRanker,
    item_rows: np.ndarray,
    split: Split,
    lists: RankedLists,
    popularity: np.ndarray,
    depth: Depth = AS_SERVED,
    progress: Progress = silent,
) -> np.ndarray:
    """Retrieve, take out what was seen, rank: int32 [requests, 300] of catalogue rows, best first.

    Behind those that are ranked come the others, as retrieved. A household that has bought many of
    its candidates may get a shorter slate, padded with -1.

    Args:
        queries: embedded requests.
        index: searched for the candidates.
        ranker: orders them.
        item_rows: catalogue row of each index row.
        split: says what each household has seen.
        lists: candidates ranked ahead, by row of the index.
        popularity: purchases in 28 days by row of the index, float [items], NaN = none.
        depth: how many the index is asked for, and are ranked.
        progress: counts ranked requests.
    """
    asked = split.requests
    count = len(asked)
    slates = np.full((count, DEPTH), PADDING, dtype=np.int32)
    requests = Requests(
        user_ids=asked.user_id.tolist(),
        devices=asked.device.tolist(),
        timestamps=asked.timestamp,
        ks=np.ones(count, dtype=np.int64),
        budgets=[""] * count,
    )
    bought = _Bought(split, item_rows)
    retrieve = RetrieveStage(index, len(item_rows), bought, lists=lists)
    found = retrieve.run(requests, queries, replace(depth, ranked=depth.candidates))
    discounts = POPULARITY_DISCOUNT * log_sales(popularity)
    # In the order of time: the ranker prepares the items' ages once for each day.
    for request in told(np.argsort(asked.timestamp, kind="stable").tolist(), progress):
        rows, ahead = found.rows[request], found.ahead[request]
        if not len(rows):
            continue
        user = {name: column[request : request + 1] for name, column in queries.columns.items()}
        first, rest = rows[: depth.ranked], rows[depth.ranked :]
        by_ranker = ranker.score(user, int(asked.timestamp[request]), first)
        scores = blended(None if ahead is None else ahead[: depth.ranked], by_ranker, RANKER_WEIGHT)
        if ahead is not None:
            scores = scores - discounts[first]
        require_ranked(scores[None], request)
        best = np.concatenate([first[np.argsort(-scores, kind="stable")], rest])[:DEPTH]
        slates[request, : len(best)] = item_rows[best]
    return slates


@dataclass(frozen=True)
class ModelSlates:
    """Slates by method, and the `versions` of the artifacts that gave them.

    `candidates_left` tells how many candidates were ranked: smallest and median over requests.
    """

    slates: dict[str, np.ndarray]
    versions: dict[str, str]
    candidates_left: dict[str, float]


@dataclass(frozen=True)
class _Items:
    """Item embeddings with their ids, and an index with its own, as of one moment."""

    embeddings: np.ndarray
    ids: list[str]
    index: Index
    indexed_ids: list[str]


def model_slates(
    store: Store, split: Split, days: Days, index_kind: str, log: Callable[[str], object]
) -> ModelSlates:
    """Slates of the two-tower model alone (exact search) and of the two stages as served.

    The two stages are those of a request before diversity re-ranking and sampling.

    Args:
        store: holds features and the current version of each part.
        split: the requests.
        days: which of them history ends on, and the evaluation begins.
        index_kind: of an index that is made here, as RECSYS_INDEX.
        log: takes lines of progress.

    Raises:
        MissingArtifact: a part has not been published.
        ValueError: the index does not hold exactly the catalogue.
    """
    from recsys_assets.models.towers import QueryTower

    folders = {part: store.artifact(part).fetch() for part in PARTS}
    requests = split.requests
    known = CatalogueSnapshot.at(store, days.train_through.isoformat())
    if days.evaluation_from == days.today:
        items = _stored(folders)
    else:
        items = _as_known(store, folders["two_tower"], known, index_kind)
        log(f"embedded and indexed {len(items.ids):,} items as of {known.day}")
    columns = user_columns(store, requests.user_id, days.first_day, days.evaluation_from)
    columns |= {"device": requests.device}
    tower = QueryTower(folders["two_tower"])
    embedded = tower.embed(columns, requests.timestamp)
    queries = Queries(columns, embedded, np.zeros(len(requests), dtype=bool))

    rows = catalogue_rows(items.ids, split, "item_embeddings")
    scorer = retrieval_scorer(queries, items.embeddings, rows)
    ranked = paced(log, "households ranked")
    slates = {"two_tower": rank(scorer, requests.seen, split.purchases, progress=ranked)}
    log(f"two_tower alone ranked {len(split.item_ids):,} items for {len(requests):,} households")

    indexed = catalogue_rows(items.indexed_ids, split, "item_index")
    ranker = _ranker(folders["dlrm"], known, indexed)
    lists = _lists(store, folders["boosted_ranker"], known, requests.user_id, indexed)
    log(f"candidates of {len(lists):,} households were ranked ahead")
    popularity = known.columns["popularity_28d"][indexed]
    slates["two_stage"] = two_stage_slates(
        queries, items.index, ranker, indexed, split, lists, popularity, progress=ranked
    )
    log("two_stage ranked the candidates of every household")
    left = (slates["two_stage"] != PADDING).sum(axis=1)
    return ModelSlates(
        slates=slates,
        versions={part: folder.name for part, folder in folders.items()},
        candidates_left={"smallest": int(left.min()), "median": float(np.median(left))},
    )


def _stored(folders: Mapping[str, Path]) -> _Items:
    from recsys_assets.models.index.index import ItemIndex

    embeddings, ids = read_embeddings(folders["item_embeddings"])
    return _Items(
        embeddings, ids, ItemIndex(folders["item_index"]), read_item_ids(folders["item_index"])
    )


def _as_known(store: Store, two_tower: Path, known: CatalogueSnapshot, index_kind: str) -> _Items:
    from recsys_assets.models.index import index, index_kinds
    from recsys_assets.models.index.index_tuning import parameters_for

    embeddings, ids = known.embeddings(two_tower), known.history.item_ids.tolist()
    parameters = parameters_for(store, index_kind, len(ids))
    built = index_kinds.build(embeddings, parameters)
    # Nobody asks for its recall: `item_index` measures the same kind.
    description = index.IndexDescription(parameters.kind, len(ids), embeddings.shape[1], np.nan)
    with tempfile.TemporaryDirectory() as folder:
        index.write_index(Path(folder), built, ids, description)
        return _Items(embeddings, ids, index.ItemIndex(Path(folder)), ids)


def _ranker(folder: Path, known: CatalogueSnapshot, indexed: np.ndarray) -> CandidateRanker:
    """The ranker over the items as known; `indexed` are catalogue rows by row of the index."""
    from recsys_assets.models.ranker import Ranker

    columns = {name: values[indexed] for name, values in known.columns.items()}
    promotions = known.history.promotions.reordered(indexed)
    return Ranker(folder, columns, known.text[indexed], promotions)


def _lists(
    store: Store, folder: Path, known: CatalogueSnapshot, users: np.ndarray, indexed: np.ndarray
) -> RankedLists:
    """Candidates ranked ahead as known, by row of the index, for the households that ask."""
    ranker = BoostedRanker.load(folder)
    if ranker is None:
        return RankedLists.none()
    candidates = DayCandidates.after(known, interactions(store, known.day, LINE_COLUMNS))
    rows = np.empty(len(indexed), dtype=np.int64)
    rows[indexed] = np.arange(len(indexed))
    return candidates.lists(users.tolist(), ranker, CANDIDATES).renumbered(rows)
