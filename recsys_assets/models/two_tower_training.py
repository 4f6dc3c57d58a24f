"""Trains the two-tower model. Runs in the models environment.

Started through Dagster Pipes as `python -m recsys_assets.models.two_tower_training`.

Epochs on everything before the validation week, each validated; then `final_epochs` over the
whole span, so that what is released has learned from the last week too. That week's figures are
of the model before those.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_assets.features.encoding import Encoding, ModelEncoding
from recsys_assets.models import examples as drawing
from recsys_assets.models.hyperparameters import TwoTowerParameters
from recsys_assets.models.inputs import item_inputs, query_inputs, with_request
from recsys_assets.models.training import Channel, EpochReport, publish, write_metrics
from recsys_assets.models.training_data import TrainingData, load_training_data
from recsys_assets.models.two_tower import TwoTowerTrainer
from recsys_assets.models.validation import ValidationWeek
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from dagster_pipes import PipesContext

_SAMPLE = 512
SAMPLE_QUERIES = "sample_queries.npy"  # to measure an index with


def fit_encoding(data: TrainingData, time_zone: str) -> ModelEncoding:
    """Vocabularies and normalisers from the purchases of the training span."""
    bought = data.examples
    item = item_inputs(list(data.history.attributes))
    query = query_inputs(data.user_attributes)
    item_encoding = Encoding.fit(
        drawing.all_item_columns(data.history, bought), item.categorical, item.numeric
    )
    return ModelEncoding(
        query=Encoding.fit(
            with_request(bought.user, bought.timestamp, time_zone),
            query.categorical,
            query.numeric,
            vocabularies={
                name: item_encoding.vocabularies[of] for name, of in query.same_values.items()
            },
        ),
        item=item_encoding,
        time_zone=time_zone,
    )


def train(
    data: TrainingData,
    parameters: TwoTowerParameters,
    time_zone: str,
    folder: Path,
    channel: Channel,
) -> dict[str, Any]:
    """Trains and writes the model's files into `folder`; returns what `metrics.json` holds."""
    encoding = fit_encoding(data, time_zone)
    catalogue = drawing.encode_catalogue(encoding, data.history, data.text)
    trainer = TwoTowerTrainer(data, encoding, catalogue, parameters)
    week = ValidationWeek.of(data.examples, len(catalogue.ids))
    report = EpochReport(channel)
    for _ in range(parameters.epochs):
        loss = trainer.epoch(with_validation=False, progress=report.batches())
        report.add({"loss": loss, **trainer.validate(week)})
    for _ in range(parameters.final_epochs):
        loss = trainer.epoch(with_validation=True, progress=report.batches())
        report.add({"loss": loss})
    difference = trainer.save(folder)
    some = week.requests.take(np.arange(min(_SAMPLE, len(week.requests))))
    np.save(folder / SAMPLE_QUERIES, trainer.embed_requests(some))
    figures = {
        "trained_through": data.through,
        "validation": {
            name: value
            for name, value in report.history[parameters.epochs - 1].items()
            if name.startswith(("recall", "ndcg"))
        },
        "validation_households": len(week.requests),
        "examples": len(trainer.bought),
        "onnx_difference": difference,
        "parameters": asdict(parameters),
    }
    return write_metrics(folder, report, trainer.model.get_weights(), figures)


def _train(pipes: "PipesContext", store: Store, folder: Path) -> None:
    data = load_training_data(store, pipes.get_extra("through"))
    parameters = TwoTowerParameters(**pipes.get_extra("parameters"))
    train(data, parameters, pipes.get_extra("time_zone"), folder, pipes)


def main() -> None:
    """Entry point; extras: `through`, `time_zone`, `parameters`."""
    publish(_train)


if __name__ == "__main__":
    main()
