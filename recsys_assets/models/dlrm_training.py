"""Trains the ranker and measures it as a classifier. Runs in the models environment.

Started through Dagster Pipes as `python -m recsys_assets.models.dlrm_training`.

Purchases of the whole span, each with negatives drawn anew in every pass. AUC, log loss and
calibration are measured on the validation week, with negatives that are the same in every
training. As with the two towers, `final_epochs` over the whole span follow the last validation.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_assets.features.encoding import Encoding, ModelEncoding
from recsys_assets.metrics import auc, calibration, log_loss
from recsys_assets.models import examples as drawing
from recsys_assets.models.dlrm import DlrmTrainer
from recsys_assets.models.examples import DAY_SECONDS
from recsys_assets.models.hyperparameters import DlrmParameters
from recsys_assets.models.inputs import item_inputs, query_inputs, with_request
from recsys_assets.models.negatives import RETRIEVAL, RETRIEVAL_FILES, NegativeDistribution, Scoring
from recsys_assets.models.training import (
    Channel,
    EpochReport,
    ordered_two_tower,
    publish,
    write_metrics,
)
from recsys_assets.models.training_data import TrainingData, load_training_data
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from dagster_pipes import PipesContext


def fit_encoding(data: TrainingData, parameters: DlrmParameters, time_zone: str) -> ModelEncoding:
    """Vocabularies and normalisers from the purchases of the training span."""
    bought = data.examples
    recent = bought.timestamp >= bought.timestamp.max() - parameters.half_life_days * DAY_SECONDS
    item = item_inputs(list(data.history.attributes))
    query = query_inputs(data.user_attributes)
    vocabulary = Encoding.fit(drawing.all_item_columns(data.history, bought), item.categorical, [])
    numbers = Encoding.fit(
        drawing.all_item_columns(data.history, bought.take(recent)), [], item.numeric
    )
    return ModelEncoding(
        query=Encoding.fit(
            with_request(bought.user, bought.timestamp, time_zone),
            query.categorical,
            query.numeric,
            vocabularies={
                name: vocabulary.vocabularies[of] for name, of in query.same_values.items()
            },
        ),
        item=Encoding(vocabulary.vocabularies, numbers.normalisers),
        time_zone=time_zone,
    )


def add_retrieval(folder: Path, two_tower: Path, parameters: DlrmParameters) -> None:
    """Puts the two-tower model, whose similarity is part of a score, into the ranker's folder.

    Args:
        folder: of the ranker.
        two_tower: a version of the artifact `two_tower`.
        parameters: of the ranker.
    """
    (folder / RETRIEVAL).mkdir()
    for source, target in RETRIEVAL_FILES.items():
        shutil.copyfile(two_tower / source, folder / RETRIEVAL / target)
    trained = json.loads((two_tower / "metrics.json").read_text(encoding="utf-8"))["parameters"]
    Scoring(
        NegativeDistribution(parameters.exponent, parameters.uniform_share),
        parameters.retrieval_weight / trained["temperature"],
    ).save(folder)


def train(
    data: TrainingData, parameters: DlrmParameters, time_zone: str, folder: Path, channel: Channel
) -> dict[str, Any]:
    """Trains and writes the DLRM's files into `folder`; returns what `metrics.json` holds."""
    trainer = DlrmTrainer(data, fit_encoding(data, parameters, time_zone), parameters)
    validation, label = trainer.validation()
    report = EpochReport(channel)
    probability = np.empty(0)
    for _ in range(parameters.epochs):
        loss = trainer.epoch(with_validation=False, progress=report.batches())
        probability = 1 / (1 + np.exp(-trainer.predict(validation)))
        report.add(
            {
                "loss": loss,
                "auc": auc(label, probability),
                "log_loss": log_loss(label, probability),
            }
        )
    for _ in range(parameters.final_epochs):
        loss = trainer.epoch(with_validation=True, progress=report.batches())
        report.add({"loss": loss})
    difference = trainer.save(folder)
    popularity = data.history.activity_at(validation.item, validation.timestamp)["popularity_28d"]
    last = report.history[parameters.epochs - 1]
    figures = {
        "trained_through": data.through,
        "validation": {
            "auc": last["auc"],
            "log_loss": last["log_loss"],
            "popularity_auc": auc(label, np.nan_to_num(popularity)),
            "negatives_per_purchase": float((~label).sum() / label.sum()),
        },
        "calibration": calibration(label, probability),
        "validation_examples": len(validation),
        "examples": len(trainer.bought),
        "onnx_difference": difference,
        "parameters": asdict(parameters),
    }
    return write_metrics(folder, report, trainer.model.get_weights(), figures)


def _train(pipes: "PipesContext", store: Store, folder: Path) -> None:
    data = load_training_data(store, pipes.get_extra("through"))
    parameters = DlrmParameters(**pipes.get_extra("parameters"))
    two_tower = ordered_two_tower(pipes, store)
    train(data, parameters, pipes.get_extra("time_zone"), folder, pipes)
    add_retrieval(folder, two_tower, parameters)


def main() -> None:
    """Entry point; extras: `through`, `time_zone`, `parameters`, `two_tower`."""
    publish(_train)


if __name__ == "__main__":
    main()
