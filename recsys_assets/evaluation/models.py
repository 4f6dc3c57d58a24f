"""Opens the current models and asks them the evaluation's requests.

Where the days after history are measured, item embeddings and index are the stored ones, as a
release serves them. Where the last days of history are held out, those know what is asked; then
both are made here as of the day before, in the same way.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys_assets.evaluation.slates import PADDING, rank
from recsys_assets.evaluation.snapshot import user_columns
from recsys_assets.evaluation.split import Split
from recsys_assets.evaluation.two_stage import (
    CandidateIndex,
    CandidateRanker,
    Queries,
    catalogue_rows,
    retrieval_scorer,
    two_stage_slates,
)
from recsys_assets.pace import paced
from recsys_assets.retrieval.catalogue_snapshot import CatalogueSnapshot
from recsys_assets.retrieval.item_tower import read_embeddings, read_item_ids
from recsys_assets.settings.days import Days
from recsys_assets.storage import Store

PARTS = ("two_tower", "item_embeddings", "item_index", "dlrm")


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
    from recsys_assets.retrieval.query_tower import QueryTower

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
    from recsys_assets.retrieval.index import ItemIndex

    embeddings, ids = read_embeddings(folders["item_embeddings"])
    return _Items(
        embeddings, ids, ItemIndex(folders["item_index"]), read_item_ids(folders["item_index"])
    )


def _as_known(store: Store, two_tower: Path, known: CatalogueSnapshot, index_kind: str) -> _Items:
    from recsys_assets.retrieval import index, index_kinds
    from recsys_assets.retrieval.index_tuning import parameters_for

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
    from recsys_assets.ranking.ranker import Ranker

    columns = {name: values[indexed] for name, values in known.columns.items()}
    promotions = known.history.promotions.reordered(indexed)
    return Ranker(folder, columns, known.text[indexed], promotions)
