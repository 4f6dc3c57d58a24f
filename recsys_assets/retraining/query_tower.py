"""Fine-tunes the query tower of a release on recent days. Runs in the models environment.

Started through Dagster Pipes as `python -m recsys_assets.retraining.query_tower`.

The item tower is frozen: it gives the embeddings that the queries learn to be near to, and is
copied byte for byte. So new items need no training: their content, category and activity go
through the same tower as ever. New users get rows of their own.
"""

import hashlib
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_assets.retraining.base import Base
from recsys_assets.retraining.hyperparameters import QueryTowerTuning
from recsys_assets.retraining.query_tower_trainer import QUERY_TOWER, QueryTowerTrainer
from recsys_assets.retrieval.export import read_weights
from recsys_assets.retrieval.item_tower import ITEM_TOWER
from recsys_assets.retrieval.reporting import Channel, EpochReport, write_metrics
from recsys_assets.retrieval.training_data import TrainingData, load_training_data
from recsys_assets.retrieval.training_process import be_repeatable, publish
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from dagster_pipes import PipesContext

ARTIFACT = "finetuned_query_tower"


class FrozenTowerChanged(RuntimeError):
    """A fine-tune has touched what it must not."""


def tune(
    data: TrainingData, base: Base, tuning: QueryTowerTuning, folder: Path, channel: Channel
) -> dict[str, Any]:
    """Fine-tunes and writes the files of a `two_tower`; returns what `metrics.json` holds.

    Raises:
        ExportDiffers: the model does not start where the base ended, or its export differs.
        FrozenTowerChanged: the item tower is not the base's, bit for bit.
        UnusableBase: the base was built otherwise.
    """
    be_repeatable(tuning.seed)
    trainer = QueryTowerTrainer(data, base, tuning)
    known_users = base.encoding.query.cardinalities["user_id"]
    start = trainer.difference_from(base.folder / QUERY_TOWER, known_users)
    report = EpochReport(channel)
    for rows in trainer.span.passes:
        report.add({"loss": trainer.run_pass(rows)})
    difference = trainer.save(folder)
    figures = {
        "base_release": base.release,
        "trained_through": data.through,
        "recent_examples": trainer.span.recent,
        "replayed_examples": trainer.span.replayed,
        "new_users": trainer.new_users,
        "start_difference": start,
        "onnx_difference": difference,
        "item_tower_sha256": prove_frozen(base.folder, folder, trainer.positions),
        "parameters": base.parameters,
        "tuning": asdict(tuning),
    }
    return write_metrics(folder, report, trainer.tower.get_weights(), figures)


def prove_frozen(base: Path, folder: Path, trained: Collection[int]) -> str:
    """Compares what must not have changed; returns the SHA-256 of the exported item tower.

    Args:
        base: files of the base.
        folder: files of the fine-tuned model.
        trained: positions of the weights that were to be trained.

    Raises:
        FrozenTowerChanged: a bit of the exported item tower, or of another weight, differs.
    """
    digests = [hashlib.sha256((f / ITEM_TOWER).read_bytes()).hexdigest() for f in (base, folder)]
    if digests[0] != digests[1]:
        raise FrozenTowerChanged(f"{ITEM_TOWER}: SHA-256 {digests[1]}, of the base {digests[0]}")
    before, after = read_weights(base / "weights.npz"), read_weights(folder / "weights.npz")
    for position in range(len(before)):
        if position in trained:
            continue
        if before[position].tobytes() != after[position].tobytes():
            raise FrozenTowerChanged(f"weight {position} of weights.npz differs from the base's")
    return digests[0]


def _artifact(pipes: "PipesContext") -> str:
    return f"{ARTIFACT}/{pipes.get_extra('day')}"


def _train(pipes: "PipesContext", store: Store, folder: Path) -> None:
    through = pipes.get_extra("through")
    base = Base.load(store, pipes.get_extra("base_release"), "two_tower", through)
    tuning = QueryTowerTuning(**pipes.get_extra("parameters"))
    tune(load_training_data(store, through), base, tuning, folder, pipes)


def main() -> None:
    """Entry point; extras: `store`, `day`, `through`, `base_release`, `parameters`."""
    publish(_artifact, _train)


if __name__ == "__main__":
    main()
