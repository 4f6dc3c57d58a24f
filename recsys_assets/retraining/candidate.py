"""Weights over data: what a release candidate, or a refresh of the live one, is made of.

Weights are what training has made. Data are what is known at the end of a day: purchase counts,
the catalogue, activity of the items, their embeddings and the index. Weights are judged over data
of the day before those that they are judged on, so that nothing in them knows the outcome, and
rendered over what is known by now.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys_assets.features.encoding import ModelEncoding
from recsys_assets.ranking.scoring import RETRIEVAL
from recsys_assets.retrieval import index, index_kinds
from recsys_assets.retrieval.index_tuning import parameters_for
from recsys_assets.retrieval.item_history import Columns, ItemHistory, midnight_after
from recsys_assets.retrieval.item_tower import ItemTower, read_embeddings, write_embeddings
from recsys_assets.retrieval.tastes import Purchases, Tastes
from recsys_assets.retrieval.training_data import text_embeddings
from recsys_assets.serving.offline import OfflineRelease
from recsys_assets.serving.rank_stage import RankStage, most_popular
from recsys_assets.serving.release import Releases
from recsys_assets.serving.rendering import Parts, ServingConfig
from recsys_assets.storage import Store

WEIGHTS = ("two_tower", "dlrm")  # the parts of a release that are trained
_EXACT = "flat"
_SAMPLE_QUERIES = "sample_queries.npy"
# The mark of a complete version is written last, or an upload cut short would count as one.
_NOT_COPIED = shutil.ignore_patterns("_COMPLETE")


@dataclass(frozen=True)
class Known:
    """What is known at the end of a day: of the catalogue, and `events` of users with it.

    `events` are rows of `interactions`: user_id, item_id, timestamp and event.
    """

    day: str
    history: ItemHistory
    columns: Columns
    text: np.ndarray
    events: pa.Table

    @classmethod
    def at(cls, store: Store, day: str) -> "Known":
        """Reads it.

        Raises:
            MissingPartition: a table has not been materialized.
        """
        history = ItemHistory.load(store, day)
        columns = history.snapshot(midnight_after(day))
        text = text_embeddings(store, history.item_ids)
        return cls(day, history, columns, text, _events(store, day))

    def embeddings(self, two_tower: Path) -> np.ndarray:
        """Of every item, float32 [items, d], in catalogue order."""
        return ItemTower(two_tower).embed(self.columns, self.text, midnight_after(self.day))


def offline_release(
    weights: Mapping[str, Path], known: Known, config: ServingConfig
) -> OfflineRelease:
    """Weights as they would answer over what is known, searched exactly.

    Args:
        weights: folders of the trained parts, by name.
        known: the data.
        config: how candidates are found and arranged.
    """
    from recsys_assets.ranking.ranker import Ranker
    from recsys_assets.retrieval.query_tower import QueryTower

    ids = known.history.item_ids
    with tempfile.TemporaryDirectory() as folder:
        two_tower, dlrm = (Path(folder) / part for part in WEIGHTS)
        for part in WEIGHTS:
            _lay(weights[part], Path(folder) / part, known)
        return OfflineRelease(
            QueryTower(two_tower),
            exact_index(known.embeddings(two_tower), ids),
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


def served_release(releases: Releases, release: int) -> OfflineRelease:
    """A release as it was rendered, over the data of then, searched exactly.

    Raises:
        MissingRelease: there is no such release.
        MissingArtifact: its item embeddings are gone.
    """
    embeddings, ids = read_embeddings(releases.part(release, "item_embeddings"))
    served = OfflineRelease.load(releases.fetch(release), release)
    return replace(served, index=exact_index(embeddings, np.array(ids, dtype=object)))


def exact_index(embeddings: np.ndarray, item_ids: np.ndarray) -> index.ItemIndex:
    """An index that misses nothing, over float32 [items, d] and object [items]."""
    with tempfile.TemporaryDirectory() as folder:
        description = index.IndexDescription(_EXACT, len(item_ids), embeddings.shape[1], 1.0)
        built = index.build(embeddings, _EXACT)
        index.write_index(Path(folder), built, item_ids.tolist(), description)
        return index.ItemIndex(Path(folder))


def serving_parts(
    store: Store,
    weights: Mapping[str, Path],
    known: Known,
    index_kind: str,
    names: Mapping[str, str],
) -> tuple[Parts, float]:
    """Publishes what a release of weights over what is known is made of.

    Args:
        store: to publish to.
        weights: folders of the trained parts, by name: those that were judged.
        known: the data.
        index_kind: flat, hnsw, ivfpq, or auto for what `index_tuning` has chosen.
        names: of the artifacts to publish, for each of `PARTS`.

    Returns:
        The parts, and the index's recall at 100 against exact search.
    """
    for part in WEIGHTS:
        with store.artifact(names[part]).new_version() as draft:
            _lay(weights[part], draft.path, known)
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


def _events(store: Store, through: str) -> pa.Table:
    table = store.table("interactions")
    days = [day for day in table.days() if day <= through]
    return table.read(days, ["user_id", "item_id", "timestamp", "event"])


def _lay(weights: Path, folder: Path, known: Known) -> None:
    """Copies a trained part, with the purchases counted anew."""
    shutil.copytree(weights, folder, ignore=_NOT_COPIED, dirs_exist_ok=True)
    for each in (folder, folder / RETRIEVAL):
        if each.exists():
            _renew_tastes(each, known)


def _renew_tastes(folder: Path, known: Known) -> None:
    """Counts the purchases through `known.day`, for the vocabularies of the model in `folder`."""
    encoding = ModelEncoding.load(folder / "encoding.json")
    Tastes.of(Purchases.from_table(known.events, encoding, known.history)).save(folder)
