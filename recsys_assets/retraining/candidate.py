"""A release candidate: fine-tuned or retrained models, first judged, then made ready to serve.

Judged it is as of the last day it has learned from, so that nothing in it knows the days it is
judged on. What is rendered are the same weights over what is known by now: purchase counts,
activity of the items, their embeddings and the index, as the initial pipeline makes them.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recsys_assets.ranking.scoring import RETRIEVAL
from recsys_assets.retrieval import index, index_kinds
from recsys_assets.retrieval.index_tuning import parameters_for
from recsys_assets.retrieval.item_tower import write_embeddings
from recsys_assets.retrieval.known import Known
from recsys_assets.retrieval.tastes import renew
from recsys_assets.retrieval.training_data import interactions
from recsys_assets.serving.offline import OfflineRelease
from recsys_assets.serving.rank_stage import RankStage, most_popular
from recsys_assets.serving.rendering import PARTS, Parts, ServingConfig
from recsys_assets.storage import Store

_EXACT = "flat"
_SAMPLE_QUERIES = "sample_queries.npy"
# The mark of a complete version is written last, or an upload cut short would count as one.
_NOT_COPIED = shutil.ignore_patterns("_COMPLETE")


def offline_candidate(
    two_tower: Path, dlrm: Path, known: Known, config: ServingConfig
) -> OfflineRelease:
    """The models as they would answer at the end of `known.day`, searched exactly."""
    from recsys_assets.ranking.ranker import Ranker
    from recsys_assets.retrieval.query_tower import QueryTower

    ids = known.history.item_ids
    embeddings = known.embeddings(two_tower)
    with tempfile.TemporaryDirectory() as folder:
        description = index.IndexDescription(_EXACT, len(ids), embeddings.shape[1], 1.0)
        built = index.build(embeddings, _EXACT)
        index.write_index(Path(folder), built, ids.tolist(), description)
        exact = index.ItemIndex(Path(folder))
    return OfflineRelease(
        QueryTower(two_tower),
        exact,
        RankStage(
            Ranker(dlrm, known.columns, known.text, known.history.promotions),
            known.text,
            most_popular(known.columns["popularity_28d"]),
            config.diversity,
            config.sampling,
        ),
        ids,
        config.depth,
    )


def serving_parts(
    store: Store, trained: Mapping[str, Path], known: Known, index_kind: str
) -> tuple[Parts, float]:
    """Publishes what a release of trained models is made of, as of `known.day`.

    Args:
        store: to publish to.
        trained: folders of the trained `two_tower` and `dlrm`, those that were judged.
        known: the catalogue.
        index_kind: flat, hnsw, ivfpq, or auto for what `index_tuning` has chosen.

    Returns:
        The parts, and the index's recall at 100 against exact search.
    """
    names = {part: f"candidate_{part}/{known.day}" for part in PARTS}
    events = interactions(store, known.day)
    for part in ("two_tower", "dlrm"):
        with store.artifact(names[part]).new_version() as draft:
            shutil.copytree(trained[part], draft.path, ignore=_NOT_COPIED, dirs_exist_ok=True)
            for folder in (draft.path, draft.path / RETRIEVAL):
                if folder.exists():
                    renew(folder, events, known.history)
    two_tower = store.artifact(names["two_tower"]).fetch()
    embeddings = known.embeddings(two_tower)
    ids = known.history.item_ids
    with store.artifact(names["item_embeddings"]).new_version() as draft:
        write_embeddings(draft.path, embeddings, ids)
    parameters = parameters_for(store, index_kind, len(ids))
    built = index_kinds.build(embeddings, parameters)
    queries = np.load(two_tower / _SAMPLE_QUERIES, allow_pickle=False)
    recall = index.recall_at(built, embeddings, queries)
    with store.artifact(names["item_index"]).new_version() as draft:
        description = index.IndexDescription(parameters.kind, len(ids), embeddings.shape[1], recall)
        index.write_index(draft.path, built, ids.tolist(), description)
    return Parts.current(store, names), recall
