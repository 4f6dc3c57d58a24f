"""Opens the current models and asks them the evaluation's requests."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from recsys_assets.content.encoder import embeddings_from_arrow
from recsys_assets.evaluation.slates import PADDING, rank
from recsys_assets.evaluation.snapshot import user_columns
from recsys_assets.evaluation.split import Split
from recsys_assets.evaluation.two_stage import (
    CandidateRanker,
    Queries,
    catalogue_rows,
    retrieval_scorer,
    two_stage_slates,
)
from recsys_assets.pace import paced
from recsys_assets.retrieval.item_history import ItemHistory, midnight_after
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


def model_slates(
    store: Store, split: Split, history: tuple[date, date], log: Callable[[str], object]
) -> ModelSlates:
    """Slates of the two-tower model alone (exact search) and of the two stages as served.

    The two stages are those of a request before diversity re-ranking and sampling.

    Args:
        store: holds features and the current version of each part.
        split: the requests.
        history: first day of history and first day after it.
        log: takes lines of progress.

    Raises:
        MissingArtifact: a part has not been published.
        ValueError: the index does not hold exactly the catalogue.
    """
    from recsys_assets.retrieval.index import ItemIndex
    from recsys_assets.retrieval.query_tower import QueryTower

    folders = {part: store.artifact(part).fetch() for part in PARTS}
    requests = split.requests
    columns = user_columns(store, requests.user_id, *history) | {"device": requests.device}
    tower = QueryTower(folders["two_tower"])
    embedded = tower.embed(columns, requests.timestamp)
    queries = Queries(embedded, columns, requests.timestamp)

    embeddings = np.load(folders["item_embeddings"] / "embeddings.npy")
    rows = catalogue_rows(_item_ids(folders["item_embeddings"]), split, "item_embeddings")
    scorer = retrieval_scorer(queries, embeddings, rows)
    ranked = paced(log, "households ranked")
    slates = {"two_tower": rank(scorer, requests.seen, split.purchases, progress=ranked)}
    log(f"two_tower alone ranked {len(split.item_ids):,} items for {len(requests):,} households")

    indexed = catalogue_rows(_item_ids(folders["item_index"]), split, "item_index")
    ranker = _ranker(store, folders["dlrm"], split, indexed, history[1] - timedelta(days=1))
    index = ItemIndex(folders["item_index"])
    slates["two_stage"] = two_stage_slates(queries, index, ranker, indexed, split, progress=ranked)
    log("two_stage ranked the candidates of every household")
    left = (slates["two_stage"] != PADDING).sum(axis=1)
    return ModelSlates(
        slates=slates,
        versions={part: folder.name for part, folder in folders.items()},
        candidates_left={"smallest": int(left.min()), "median": float(np.median(left))},
    )


def _ranker(
    store: Store, folder: Path, split: Split, indexed: np.ndarray, last_day: date
) -> CandidateRanker:
    """The ranker over item features of the end of `last_day`, rows as in the index."""
    from recsys_assets.ranking.ranker import Ranker

    day = last_day.isoformat()
    history = ItemHistory.load(store, day)
    items = history.snapshot(midnight_after(day))
    table = store.table("item_text_embeddings").read()
    rows = catalogue_rows(table["item_id"].to_pylist(), split, "item_text_embeddings")
    vectors = embeddings_from_arrow(table["embedding"])[np.argsort(rows)]
    columns = {name: values[indexed] for name, values in items.items()}
    return Ranker(folder, columns, vectors[indexed], history.promotions.reordered(indexed))


def _item_ids(folder: Path) -> list[str]:
    item_ids: list[str] = json.loads((folder / "item_ids.json").read_text())
    return item_ids
