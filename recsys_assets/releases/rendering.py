"""A release from what the graph has made: the Triton repository, its data, and the manifest.

    releases/<n>/manifest.json         what it is made of
                 templates/<model>/    config templates, for promotion
                 models/<model>/       a model repository that any Triton can serve as it is
                       pipeline/<n>/   model.py, two_tower/, item_index/, dlrm/, stage.json,
                                       user_columns.json, and by row of the index
                                       items.parquet, item_text_embeddings.npy, promotions.npz,
                                       ranked_candidates.arrow

Nothing is looked up again when a release is loaded: the files of one number belong together.
"""

import json
import py_compile
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.candidates.boosted_ranker import BoostedRanker
from recsys_assets.candidates.purchase_log import COLUMNS as LINE_COLUMNS
from recsys_assets.candidates.ranking import DayCandidates
from recsys_assets.features.attributes import user_columns
from recsys_assets.models.item_history import midnight_after
from recsys_assets.models.negatives import RETRIEVAL
from recsys_assets.models.purchase_counts import renew
from recsys_assets.models.towers import read_embeddings, read_item_ids
from recsys_assets.models.training_data import CatalogueSnapshot, interactions
from recsys_assets.pipeline.query import USER_COLUMNS
from recsys_assets.pipeline.rank import ITEMS, PROMOTIONS, STAGE, TEXT_EMBEDDINGS
from recsys_assets.releases.quantization import quantize_release
from recsys_assets.releases.release import MANIFEST, Releases
from recsys_assets.releases.release_writing import digests, sha256
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets.storage import MissingArtifact, Store
from recsys_assets.triton.repository import PIPELINE, write_configs, write_identity

TEMPLATES = Path(__file__).resolve().parents[2] / "triton_repo"
PARTS = ("two_tower", "item_embeddings", "item_index", "dlrm", "boosted_ranker")
_SERVED = ("two_tower", "item_index", "dlrm")
# What inference does not read: weights to fine-tune from, and the tower that made the index.
_NOT_SERVED = ("weights.*", "item_tower.onnx", "_COMPLETE")
_VOCABULARY = "encoding.json"
# A release knows the plan for two weeks; what is promoted later counts as not promoted.
_PLAN_BEFORE, _PLAN_AHEAD = 8 * 86_400, 14 * 86_400


class InconsistentRelease(ValueError):
    """The parts at hand do not belong together."""


@dataclass(frozen=True)
class Origin:
    """Where a release comes from; part of its manifest.

    Attributes:
        trained_through: the last day that its models have learned from, YYYY-MM-DD.
        run_id: of the Dagster run that renders it.
        base_release: of a candidate, the release that was live and that it was held against.
        cause: why it was made.
        weights_release: of a refresh, the release that brought the weights it goes on with.
    """

    trained_through: str
    run_id: str | None = None
    base_release: int | None = None
    cause: str = "initial training"
    weights_release: int | None = None


def render(
    releases: Releases,
    parts: "ReleaseParts",
    snapshot_day: str,
    origin: Origin,
    config: ServingConfig,
    templates: Path = TEMPLATES,
) -> int:
    """Makes the next release; returns its number.

    Args:
        releases: where to.
        parts: what it is made of.
        snapshot_day: item features and purchase counts are those known at the end of this day,
            YYYY-MM-DD.
        origin: goes into the manifest.
        config: candidates, diversity, sampling and precision.
        templates: the sources of the Triton models, `triton_repo/`.

    Raises:
        MissingPartition: a table has not been materialized.
        InconsistentRelease: index and embeddings are not of the same items.
    """
    with releases.new() as draft:
        release = int(draft.version)
        _copy_sources(templates, draft.path, release)
        folder = draft.path / "models" / PIPELINE / str(release)
        for part in _SERVED:
            parts.copy(part, folder)
        _write_json(folder / USER_COLUMNS, user_columns(releases.store))
        known = parts.catalogue or CatalogueSnapshot.at(releases.store, snapshot_day)
        _write_items(parts, known, folder)
        events = interactions(releases.store, snapshot_day, LINE_COLUMNS)
        _write_lists(parts, events, known, config.depth.candidates, folder)
        if snapshot_day > origin.trained_through:  # the models hold counts of the day they end on
            for model in ("two_tower", "dlrm", f"dlrm/{RETRIEVAL}"):
                renew(folder / model, events, known.history)
        _write_json(folder / STAGE, config.as_json())
        write_identity(draft.path / "models", release)
        write_configs(draft.path / "templates", draft.path / "models", release)
        sizes = quantize_release(folder, config.precision)
        manifest = {
            **_manifest(draft.path, release, parts, snapshot_day, origin),
            "precision": asdict(config.precision),
            "bytes_by_precision": {part: asdict(size) for part, size in sizes.items()},
        }
        _write_json(draft.path / MANIFEST, manifest)
    if origin.weights_release is not None:
        releases.note_refresh(release, origin.weights_release)
    return release


@dataclass(frozen=True)
class ReleaseParts:
    """One version of an artifact for each of `PARTS`, or for some of them.

    Read once, so that no two are taken at different times. So is the `catalogue` that the index
    was made of, if it is given: a product may be withdrawn before the release is written.
    """

    artifacts: dict[str, str]
    versions: dict[str, str]
    folders: dict[str, Path]
    catalogue: CatalogueSnapshot | None = None

    @classmethod
    def current(cls, store: Store, artifacts: Mapping[str, str] | None = None) -> "ReleaseParts":
        """The current versions of artifacts of the given names, by part.

        Unless given, those of all parts, which then bear the names of the parts.

        Raises:
            MissingArtifact: one has not been materialized.
        """
        named = {}
        for part, name in (artifacts or {part: part for part in PARTS}).items():
            artifact = store.artifact(name)
            version = artifact.current()
            if version is None:
                raise MissingArtifact(name, None, artifact.url)
            named[part] = name, version
        return cls.of(store, named)

    @classmethod
    def of(
        cls,
        store: Store,
        named: Mapping[str, tuple[str, str]],
        catalogue: CatalogueSnapshot | None = None,
    ) -> "ReleaseParts":
        """The given artifacts and versions, by part.

        Raises:
            MissingArtifact: one is not there.
        """
        artifacts = {part: name for part, (name, _) in named.items()}
        versions = {part: version for part, (_, version) in named.items()}
        folders = {part: store.artifact(n).fetch(version) for part, (n, version) in named.items()}
        return cls(artifacts, versions, folders, catalogue)

    def __or__(self, other: "ReleaseParts") -> "ReleaseParts":
        """These, and in the place of those that `other` has, the other's."""
        return ReleaseParts(
            self.artifacts | other.artifacts,
            self.versions | other.versions,
            self.folders | other.folders,
            other.catalogue or self.catalogue,
        )

    def named(self) -> dict[str, tuple[str, str]]:
        """Artifact and version by part."""
        return {part: (name, self.versions[part]) for part, name in self.artifacts.items()}

    def copy(self, name: str, folder: Path) -> None:
        """Copies what is served of one artifact into the version folder."""
        ignored = shutil.ignore_patterns(*_NOT_SERVED)
        shutil.copytree(self.folders[name], folder / name, ignore=ignored)

    def item_ids(self) -> list[str]:
        """Items by row, the same for index and embeddings."""
        embeddings, ids = read_embeddings(self.folders["item_embeddings"])
        indexed = read_item_ids(self.folders["item_index"])
        if indexed != ids or len(embeddings) != len(ids):
            raise InconsistentRelease(
                f"item_index {self.versions['item_index']} and item_embeddings "
                f"{self.versions['item_embeddings']} hold different items: materialize both again"
            )
        return ids


def _copy_sources(templates: Path, draft: Path, release: int) -> None:
    """Copies templates and the `model.py`, compiled.

    Bytecode is compiled here because a `__pycache__` that appears in a version folder counts as
    a change of the model, for which Triton would load the version being served anew.
    """
    for config in templates.glob("*/config.pbtxt"):
        target = draft / "templates" / config.parent.name
        target.mkdir(parents=True)
        shutil.copyfile(config, target / config.name)
    model = draft / "models" / PIPELINE / str(release) / "model.py"
    model.parent.mkdir(parents=True)
    shutil.copyfile(templates / PIPELINE / "model.py", model)
    py_compile.compile(
        str(model),
        dfile="model.py",
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _write_items(parts: ReleaseParts, known: CatalogueSnapshot, folder: Path) -> None:
    """What the ranker keeps in memory, in the order of the index's rows."""
    rows = _rows_of(parts.item_ids(), known.history.item_ids)
    pq.write_table(
        pa.table({name: pa.array(values[rows]) for name, values in known.columns.items()}),
        folder / ITEMS,
    )
    np.save(folder / TEXT_EMBEDDINGS, known.text[rows])
    moment = midnight_after(known.day)
    plan = known.history.promotions.between(moment - _PLAN_BEFORE, moment + _PLAN_AHEAD)
    plan.reordered(rows).save(folder / PROMOTIONS)


def _write_lists(
    parts: ReleaseParts, events: pa.Table, known: CatalogueSnapshot, depth: int, folder: Path
) -> None:
    """The candidates of every customer, ranked ahead."""
    ranker = BoostedRanker.load(parts.folders.get("boosted_ranker"))
    if ranker is None:
        return
    candidates = DayCandidates.after(known, events)
    rows = _rows_of(parts.item_ids(), known.history.item_ids)
    indexed = np.full(len(known.history.item_ids), -1, dtype=np.int64)
    indexed[rows] = np.arange(len(rows))
    lists = candidates.lists(candidates.customers(), ranker, depth)
    lists.renumbered(indexed).save(folder)


def _rows_of(ids: list[str], catalogue: np.ndarray) -> np.ndarray:
    """Where each of `ids` stands in the catalogue, int64 [n]."""
    position = {item: row for row, item in enumerate(catalogue.tolist())}
    unknown = [item for item in ids if item not in position]
    if unknown:
        raise InconsistentRelease(
            f"{len(unknown)} indexed items are not in the table items, {unknown[0]!r} among them: "
            "materialize item_embeddings and item_index again"
        )
    return np.array([position[item] for item in ids], dtype=np.int64)


def _manifest(
    draft: Path, release: int, parts: ReleaseParts, snapshot_day: str, origin: Origin
) -> dict[str, Any]:
    vocabularies = {
        name: sha256(parts.folders[name] / _VOCABULARY) for name in ("two_tower", "dlrm")
    }
    return {
        "release": release,
        "rendered_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **asdict(origin),
        "artifacts": {
            part: {"artifact": name, "version": parts.versions[part]}
            for part, name in parts.artifacts.items()
        },
        "vocabularies": vocabularies,
        "item_features_day": snapshot_day,
        "files": digests(draft),
    }


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=None if isinstance(value, list) else 1))
