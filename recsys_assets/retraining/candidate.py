"""Weights over data: what a release candidate, or a refresh of the live one, is made of.

Weights are what training has made. Data are what is known at the end of a day: purchase counts,
the catalogue, activity of the items, their embeddings and the index. Weights are judged over data
of the day before those that they are judged on, so that nothing in them knows the outcome, and
rendered over what is known by now.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys_assets.candidates.boosted_ranker import BoostedRanker
from recsys_assets.candidates.purchase_log import COLUMNS as LINE_COLUMNS
from recsys_assets.candidates.ranked_lists import RankedLists
from recsys_assets.candidates.ranking import DayCandidates
from recsys_assets.models.index import index, index_kinds
from recsys_assets.models.index.index_tuning import parameters_for
from recsys_assets.models.purchase_counts import PurchaseCounts, counted
from recsys_assets.models.towers import read_embeddings, write_embeddings
from recsys_assets.models.training_data import CatalogueSnapshot, interactions
from recsys_assets.pipeline.rank import RankStage
from recsys_assets.releases.offline import Lists, OfflineRelease
from recsys_assets.releases.release import Releases
from recsys_assets.releases.rendering import ReleaseParts
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets.storage import Store

# The parts of a release that are trained. One of an earlier version has no `boosted_ranker`.
WEIGHTS = ("two_tower", "dlrm", "boosted_ranker")
_EXACT = "flat"
_SAMPLE_QUERIES = "sample_queries.npy"


@dataclass(frozen=True)
class DaySnapshot:
    """What weights are laid over: what is known of the catalogue, and what users have done.

    `events` are rows of `interactions` with the columns of a `PurchaseLog`.
    """

    catalogue: CatalogueSnapshot
    events: pa.Table

    @classmethod
    def of(cls, store: Store, catalogue: CatalogueSnapshot) -> "DaySnapshot":
        """Reads what users had done by the end of the catalogue's day.

        Raises:
            MissingPartition: `interactions` has not been materialized.
        """
        return cls(catalogue, interactions(store, catalogue.day, LINE_COLUMNS))

    def purchase_counts_of(self, model: Path) -> PurchaseCounts:
        """Counts the purchases, for the vocabularies of the model in a folder."""
        return counted(model, self.events, self.catalogue.history)

    @cached_property
    def candidates(self) -> DayCandidates:
        """Of the day after: what is fitted for them serves whichever weights are laid over."""
        return DayCandidates.after(self.catalogue, self.events)

    def ranked_by(self, boosted_ranker: Path | None, depth: int) -> Lists:
        """Candidates of customers, ranked by the artifact in a folder, if there is one."""
        ranker = BoostedRanker.load(boosted_ranker)
        if ranker is None:
            return lambda _: RankedLists.none()
        return lambda users: self.candidates.lists(users, ranker, depth)


def weights_of(releases: Releases, release: int) -> ReleaseParts:
    """The trained parts that a release was made of.

    Raises:
        MissingRelease: there is no such release.
        MissingArtifact: one of them is gone.
    """
    return ReleaseParts.of(releases.store, releases.made_of(release, WEIGHTS))


def offline_release(
    weights: Mapping[str, Path], data: DaySnapshot, config: ServingConfig
) -> OfflineRelease:
    """Weights as they would answer over data, searched exactly.

    Args:
        weights: folders of the trained parts, by name.
        data: that they are laid over.
        config: how candidates are found and arranged.
    """
    from recsys_assets.models.ranker import Ranker
    from recsys_assets.models.towers import QueryTower

    known, two_tower = data.catalogue, weights["two_tower"]
    ids, counts_of = known.history.item_ids, data.purchase_counts_of
    ranker = Ranker(
        weights["dlrm"],
        known.columns,
        known.text,
        known.history.promotions,
        purchase_counts_of=counts_of,
    )
    return OfflineRelease(
        QueryTower(two_tower, purchase_counts_of=counts_of),
        exact_index(known.embeddings(two_tower), ids),
        RankStage(
            ranker,
            known.text,
            known.columns["popularity_28d"],
            config.diversity,
            config.sampling,
            ranker_weight=config.ranker_weight,
            popularity_discount=config.popularity_discount,
            exploration=config.exploration,
        ),
        ids,
        config.depth,
        data.ranked_by(weights.get("boosted_ranker"), config.depth.candidates),
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
    weights: ReleaseParts,
    known: CatalogueSnapshot,
    index_kind: str,
    names: Mapping[str, str],
) -> tuple[ReleaseParts, float]:
    """Publishes embeddings and index of what is known, made by given weights.

    Args:
        store: to publish to.
        weights: the trained parts: those that were judged.
        known: the catalogue.
        index_kind: flat, hnsw, ivfpq, or auto for what `index_tuning` has chosen.
        names: of the artifacts to publish, for `item_embeddings` and `item_index`.

    Returns:
        All parts of a release, and the index's recall at 100 against exact search.
    """
    two_tower = weights.folders["two_tower"]
    embeddings = known.embeddings(two_tower)
    ids = known.history.item_ids
    with store.artifact(names["item_embeddings"]).new_version() as embedded:
        write_embeddings(embedded.path, embeddings, ids)
    parameters = parameters_for(store, index_kind, len(ids))
    built = index_kinds.build(embeddings, parameters)
    queries = np.load(two_tower / _SAMPLE_QUERIES, allow_pickle=False)
    recall = index.recall_at(built, embeddings, queries)
    with store.artifact(names["item_index"]).new_version() as indexed:
        description = index.IndexDescription(parameters.kind, len(ids), embeddings.shape[1], recall)
        index.write_index(indexed.path, built, ids.tolist(), description)
    versions = {"item_embeddings": embedded.version, "item_index": indexed.version}
    made = {part: (names[part], version) for part, version in versions.items()}
    return ReleaseParts.of(store, weights.named() | made, catalogue=known), recall
