"""The pipeline's own parts, asked the evaluation's requests.

What runs here is what is served: the exported query tower, the stored index, the exported ranker.
Their interfaces are spelled out below, so that this module says what it needs and no more.

Opens the current models and asks them the evaluation's requests.

Where the days after history are measured, item embeddings and index are the stored ones, as a
release serves them. Where the last days of history are held out, those know what is asked; then
both are made here as of the day before, in the same way.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from recsys_assets.evaluation.slates import DEPTH, Scorer, rank, require_ranked
from recsys_assets.evaluation.split import Split, user_columns
from recsys_assets.metrics import PADDING
from recsys_assets.models.catalogue_snapshot import CatalogueSnapshot
from recsys_assets.models.index.index_kinds import CANDIDATES, DEEPER, ENOUGH, RANKED
from recsys_assets.models.towers import read_embeddings, read_item_ids
from recsys_assets.runtime.pace import Progress, paced, silent, told
from recsys_assets.settings.days import Days
from recsys_assets.storage import Store

Columns = Mapping[str, np.ndarray]
PARTS = ("two_tower", "item_embeddings", "item_index", "dlrm")


class CandidateIndex(Protocol):
    """`retrieval.index.ItemIndex`."""

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """float32 [n, d] to int64 rows [n, k], best first, and float32 scores [n, k]."""


class CandidateRanker(Protocol):
    """`ranking.ranker.Ranker`."""

    def score(self, user_columns: Columns, timestamp: int, rows: np.ndarray) -> np.ndarray:
        """Columns of one user, epoch seconds and int64 item rows [m] to float32 [m]."""


@dataclass(frozen=True)
class Queries:
    """The requests as the query tower sees them: `embeddings` float32 [n, d] and `columns`."""

    embeddings: np.ndarray
    columns: Columns
    timestamps: np.ndarray


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


def two_stage_slates(
    queries: Queries,
    index: CandidateIndex,
    ranker: CandidateRanker,
    item_rows: np.ndarray,
    split: Split,
    candidates: int = CANDIDATES,
    enough: int = ENOUGH,
    ranked: int = RANKED,
    progress: Progress = silent,
) -> np.ndarray:
    """Retrieve, take out what was seen, rank: int32 [requests, 300] of catalogue rows, best first.

    Behind those that are ranked come the others, as retrieved.

    As in serving, seen items are taken out after the search, so a household that has bought many
    of its candidates gets a shorter slate, padded with -1; should fewer than `enough` be left,
    the search goes deeper for it.

    Args:
        queries: embedded requests.
        index: searched for the candidates.
        ranker: orders them.
        item_rows: catalogue row of each index row.
        split: says what each household has seen.
        candidates: how many the index is asked for.
        enough: how many a household must be left with.
        ranked: the most that are ranked.
        progress: counts ranked requests.
    """
    slates = np.full((len(split.requests), DEPTH), PADDING, dtype=np.int32)
    found = _unseen_candidates(queries.embeddings, index, item_rows, split, candidates, enough)
    # In the order of time: the ranker prepares the items' ages once for each day.
    for request in told(np.argsort(queries.timestamps, kind="stable").tolist(), progress):
        rows = found[request]
        if not len(rows):
            continue
        user = {name: column[request : request + 1] for name, column in queries.columns.items()}
        first, rest = rows[:ranked], rows[ranked:]
        scores = ranker.score(user, int(queries.timestamps[request]), first)
        require_ranked(scores[None], request)
        best = np.concatenate([first[np.argsort(-scores, kind="stable")], rest])[:DEPTH]
        slates[request, : len(best)] = item_rows[best]
    return slates


def _unseen_candidates(
    embeddings: np.ndarray,
    index: CandidateIndex,
    item_rows: np.ndarray,
    split: Split,
    candidates: int,
    enough: int,
) -> list[np.ndarray]:
    """Index rows of each request, at most `candidates`, best first, without seen items."""
    seen = split.requests.seen
    found: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(embeddings)
    searching, depth = np.arange(len(embeddings)), min(candidates, len(item_rows))
    while len(searching):
        rows, _ = index.search(embeddings[searching], depth)
        for request, of_request in zip(searching, rows, strict=True):
            known = of_request[of_request >= 0]
            bought = seen.indices[seen.indptr[request] : seen.indptr[request + 1]]
            found[request] = known[~np.isin(item_rows[known], bought)][:candidates]
        if depth == len(item_rows):
            break
        searching = searching[[len(found[request]) < enough for request in searching]]
        depth = min(depth * DEEPER, len(item_rows))
    return found


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
    index: CandidateIndex
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
    queries = Queries(embedded, columns, requests.timestamp)

    rows = catalogue_rows(items.ids, split, "item_embeddings")
    scorer = retrieval_scorer(queries, items.embeddings, rows)
    ranked = paced(log, "households ranked")
    slates = {"two_tower": rank(scorer, requests.seen, split.purchases, progress=ranked)}
    log(f"two_tower alone ranked {len(split.item_ids):,} items for {len(requests):,} households")

    indexed = catalogue_rows(items.indexed_ids, split, "item_index")
    ranker = _ranker(folders["dlrm"], known, indexed)
    slates["two_stage"] = two_stage_slates(
        queries, items.index, ranker, indexed, split, progress=ranked
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
