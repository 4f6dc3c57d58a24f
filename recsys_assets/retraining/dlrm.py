"""Fine-tunes the ranker of a release on recent days. Runs in the models environment.

Started through Dagster Pipes as `python -m recsys_assets.retraining.dlrm`.

All layers learn. New users and new items get rows of their own, which start as the unknown row.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_assets.features.encoding import Encoding, ModelEncoding
from recsys_assets.models.dlrm import RANKER, DlrmTrainer
from recsys_assets.models.dlrm_training import add_retrieval
from recsys_assets.models.examples import example_weights
from recsys_assets.models.hyperparameters import DlrmParameters, DlrmTuning
from recsys_assets.models.training import (
    Channel,
    EpochReport,
    be_repeatable,
    ordered_two_tower,
    publish,
    write_metrics,
)
from recsys_assets.models.training_data import TrainingData, load_training_data
from recsys_assets.retraining.base import Base, ReplaySample, draw_replay_sample, grown, recent_from
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from dagster_pipes import PipesContext


def tune(
    data: TrainingData, base: Base, tuning: DlrmTuning, folder: Path, channel: Channel
) -> dict[str, Any]:
    """Fine-tunes and writes the files of a `dlrm`; returns what `metrics.json` holds.

    Raises:
        ExportDiffers: the model does not start where the base ended, or its export differs.
        UnusableBase: the base was built otherwise.
    """
    be_repeatable(tuning.seed)
    span = _span(data, base, tuning)
    trainer = DlrmTrainer(
        data, _with_new_ids(data, base.encoding), _parameters(base, tuning, span), span.examples
    )
    trainer.start_from(grown(base.weights, trainer.build()))
    start = trainer.difference_from(base.folder / RANKER, base.encoding)
    report = EpochReport(channel)
    for rows in span.passes:
        report.add({"loss": trainer.fit(rows, report.batches())})
    difference = trainer.save(folder)
    figures = {
        "base_release": base.release,
        "trained_through": data.through,
        "recent_examples": span.recent,
        "replayed_examples": span.replayed,
        "new_users": _added(trainer.encoding.query, base.encoding.query, "user_id"),
        "new_items": _added(trainer.encoding.item, base.encoding.item, "item_id"),
        "start_difference": start,
        "onnx_difference": difference,
        "parameters": base.parameters,
        "tuning": asdict(tuning),
    }
    return write_metrics(folder, report, trainer.model.get_weights(), figures)


def _span(data: TrainingData, base: Base, tuning: DlrmTuning) -> ReplaySample:
    built = DlrmParameters(**base.parameters)
    weights = example_weights(data.examples, built.half_life_days, built.household_power)
    since = recent_from(base.trained_through, data.through, tuning.recent_days)
    random = np.random.default_rng(tuning.seed)
    return draw_replay_sample(data.examples, weights, since, tuning, random)


def _parameters(base: Base, tuning: DlrmTuning, span: ReplaySample) -> DlrmParameters:
    """The base's, with a learning rate that falls to 0 over the passes of the fine-tune."""
    return replace(
        DlrmParameters(**base.parameters),
        learning_rate=tuning.learning_rate,
        positives_per_epoch=len(span.passes[0]),
        epochs=tuning.passes,
        final_epochs=0,
        seed=tuning.seed,
    )


def _with_new_ids(data: TrainingData, encoding: ModelEncoding) -> ModelEncoding:
    bought = data.examples
    items = data.history.item_ids[bought.item]
    return ModelEncoding(
        encoding.query.extended({"user_id": bought.user["user_id"]}),
        encoding.item.extended({"item_id": items}),
        encoding.time_zone,
    )


def _added(after: Encoding, before: Encoding, column: str) -> int:
    """Rows that a vocabulary has gained."""
    return after.cardinalities[column] - before.cardinalities[column]


def _train(pipes: "PipesContext", store: Store, folder: Path) -> None:
    through = pipes.get_extra("through")
    base = Base.load(store, pipes.get_extra("base_release"), "dlrm", through)
    tuning = DlrmTuning(**pipes.get_extra("parameters"))
    two_tower = ordered_two_tower(pipes, store)
    tune(load_training_data(store, through), base, tuning, folder, pipes)
    add_retrieval(folder, two_tower, DlrmParameters(**base.parameters))


def main() -> None:
    """Entry point; extras: `through`, `base_release`, `parameters`, `two_tower` (fine-tuned)."""
    publish(_train)


if __name__ == "__main__":
    main()
