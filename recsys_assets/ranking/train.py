"""Trains the ranker. Runs in the models environment.

Started through Dagster Pipes as `python -m recsys_assets.ranking.train`.

Purchases of the whole span, each with negatives drawn anew in every pass. AUC, log loss and
calibration are measured on the validation week, with negatives that are the same in every
training. As with the two towers, `final_epochs` over the whole span follow the last validation.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from recsys_assets.features.encoding import Encoding, ModelEncoding
from recsys_assets.ranking import dlrm
from recsys_assets.ranking.hyperparameters import DlrmParameters
from recsys_assets.ranking.negatives import NegativeDistribution, NegativeSampler
from recsys_assets.ranking.quality import auc, calibration, log_loss
from recsys_assets.ranking.scoring import RETRIEVAL, RETRIEVAL_FILES, Scoring
from recsys_assets.retrieval import batches as drawing
from recsys_assets.retrieval.examples import (
    DAY_SECONDS,
    Examples,
    household_weights,
    recency_weights,
    snapshot_moments,
)
from recsys_assets.retrieval.export import export_onnx, largest_difference, save_weights
from recsys_assets.retrieval.inputs import item_inputs, query_inputs, with_request
from recsys_assets.retrieval.reporting import Channel, EpochReport, peak_memory_gib
from recsys_assets.retrieval.tastes import Purchases, TasteHistory, Tastes
from recsys_assets.retrieval.training_data import TrainingData, load_training_data
from recsys_assets.storage import Store

_PREDICT_BLOCK = 16_384
_CHECKED_ROWS = 256
_VALIDATION_SEED = 7


class Trainer:
    """A model with its data."""

    def __init__(
        self, data: TrainingData, encoding: ModelEncoding, parameters: DlrmParameters
    ) -> None:
        import tensorflow as tf

        tf.keras.utils.set_random_seed(parameters.seed)
        self.random = np.random.default_rng(parameters.seed)
        self.data, self.encoding, self.parameters = data, encoding, parameters
        self.catalogue = drawing.encode_catalogue(encoding, data.history, data.text)
        self.masks = drawing.Masks(
            parameters.mask_id, parameters.mask_attribute, parameters.mask_user
        )
        self.bought = data.examples
        self.queries = drawing.encode_queries(encoding, self.bought)
        self.purchases = Purchases.from_table(data.purchases, encoding, data.history)
        self.tastes = TasteHistory(self.purchases)
        self.weights = recency_weights(
            self.bought.timestamp, parameters.half_life_days
        ) * household_weights(
            self.bought.user["user_id"], self.bought.timestamp, parameters.household_power
        )
        self.distribution = NegativeDistribution(parameters.exponent, parameters.uniform_share)
        self.users, self.sampler = _sampler(data, self.bought, self.distribution)
        self.model = dlrm.build(encoding, parameters)

    def epoch(self, *, with_validation: bool) -> float:
        """One pass; returns the mean loss."""
        import tensorflow as tf

        weights = self.weights if with_validation else self.weights * ~self.bought.validation
        rows = drawing.draw(weights, self.parameters.positives_per_epoch, self.random)
        inputs, label = next(self._batches(rows[: self.parameters.batch_positives]))
        signature = (
            {n: tf.TensorSpec([None, v.shape[1]], v.dtype) for n, v in inputs.items()},
            tf.TensorSpec([None, 1], label.dtype),
        )
        dataset = tf.data.Dataset.from_generator(
            lambda: self._batches(rows), output_signature=signature
        )
        return float(self.model.fit(dataset.prefetch(2), verbose=0).history["loss"][0])

    def _batches(self, rows: np.ndarray) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        each = 1 + self.parameters.negatives
        for part in drawing.batches(rows, self.parameters.batch_positives):
            timestamps = self.bought.timestamp[part]
            drawn, usable = self.sampler.draw(
                self.users[part], timestamps, self.parameters.negatives, self.random
            )
            items = np.concatenate([self.bought.item[part][:, None], drawn], axis=1).ravel()
            kept = np.concatenate([np.ones((len(part), 1), bool), usable], axis=1).ravel()
            label = np.tile([1.0] + [0.0] * self.parameters.negatives, len(part))
            # A purchase and its negatives see one snapshot, else its age would tell them apart.
            moments = snapshot_moments(
                timestamps, self.random, self.parameters.max_snapshot_age_days
            )
            asked = drawing.mask_queries(self.queries, part, self.encoding, self.masks, self.random)
            owner = np.repeat(np.arange(len(part)), each)[kept]
            items = items[kept]
            yield (
                dlrm.features(
                    self.encoding,
                    asked.ids[owner],
                    asked.dense[owner],
                    drawing.mask_items(self.catalogue.ids[items], self.masks, self.random),
                    drawing.encode_items(
                        self.encoding,
                        self.data.history,
                        items,
                        moments[owner],
                        timestamps[owner],
                        timestamps[owner],
                    ),
                    self.catalogue.text[items],
                    self._affinity(asked.user[owner], items, moments[owner]),
                ),
                label[kept].astype(np.float32)[:, None],
            )

    def validation(self) -> tuple[Examples, np.ndarray]:
        """Purchases of the validation week, each with negatives, and label bool [n].

        The negatives come from the distribution that training draws from, by a seed of their
        own, so that they are the same in every training.
        """
        rows = np.flatnonzero(self.bought.validation)
        week = self.bought.take(rows)
        drawn, usable = self.sampler.draw(
            self.users[rows],
            week.timestamp,
            self.parameters.negatives,
            np.random.default_rng(_VALIDATION_SEED),
        )
        items = np.concatenate([week.item[:, None], drawn], axis=1)
        kept = np.concatenate([np.ones((len(week), 1), bool), usable], axis=1)
        owner, column = np.nonzero(kept)
        return replace(week.take(owner), item=items[kept]), column == 0

    def predict(self, examples: Examples) -> np.ndarray:
        """log(P / (1 - P)) float64 [n] by TensorFlow, item features as of each example."""
        queries = drawing.encode_queries(self.encoding, examples)
        parts = []
        for rows in drawing.batches(np.arange(len(examples)), _PREDICT_BLOCK):
            parts.append(self._log_odds(self._features(queries, examples, rows)))
        rest = np.arange(sum(map(len, parts)), len(examples))
        if len(rest):
            parts.append(self._log_odds(self._features(queries, examples, rest)))
        return np.concatenate(parts).astype(np.float64)

    def _features(
        self, queries: drawing.QueryArrays, examples: Examples, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        items, timestamps = examples.item[rows], examples.timestamp[rows]
        return dlrm.features(
            self.encoding,
            queries.ids[rows],
            queries.dense[rows],
            self.catalogue.ids[items],
            drawing.encode_items(
                self.encoding, self.data.history, items, timestamps, timestamps, timestamps
            ),
            self.catalogue.text[items],
            self._affinity(queries.ids[rows, 0].astype(np.int64), items, timestamps),
        )

    def _affinity(self, user: np.ndarray, items: np.ndarray, moments: np.ndarray) -> np.ndarray:
        return self.tastes.affinities(user, self.catalogue.ids[items, 1:], moments)

    def _log_odds(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(dlrm.log_odds(self.model, inputs))

    def save(self, folder: Path) -> float:
        """Writes ONNX, encoding, tastes, and weights for fine-tuning.

        Returns:
            The largest difference between ONNX and TensorFlow.
        """
        self.encoding.save(folder / "encoding.json")
        Tastes.of(self.purchases).save(folder)
        save_weights(self.model, folder / "weights.npz")
        query, item = self.encoding.query, self.encoding.item
        inputs = [
            ("query_ids", np.int32, len(query.vocabularies)),
            ("query_numbers", np.float32, query.dense_width),
            ("item_ids", np.int32, len(item.vocabularies)),
            ("item_numbers", np.float32, item.dense_width),
            ("item_text", np.float32, self.catalogue.text.shape[1]),
            ("affinity", np.float32, self.tastes.affinity_width),
        ]
        export_onnx(
            lambda *arrays: dlrm.log_odds(self.model, dlrm.features(self.encoding, *arrays)),
            inputs,
            folder / "ranker.onnx",
        )
        some = self.bought.take(np.arange(min(_CHECKED_ROWS, len(self.bought))))
        arrays = self._features(
            drawing.encode_queries(self.encoding, some), some, np.arange(len(some))
        )
        feeds = {
            "query_ids": np.hstack([arrays[name] for name in query.vocabularies]),
            "item_ids": np.hstack([arrays[name] for name in item.vocabularies]),
            **{name: arrays[name] for name in dlrm.VECTORS},
        }
        return largest_difference(folder / "ranker.onnx", self.predict(some), feeds, limit=1e-3)


def fit_encoding(data: TrainingData, parameters: DlrmParameters) -> ModelEncoding:
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
            with_request(bought.user, bought.timestamp),
            query.categorical,
            query.numeric,
            vocabularies={
                name: vocabulary.vocabularies[of] for name, of in query.same_values.items()
            },
        ),
        item=Encoding(vocabulary.vocabularies, numbers.normalisers),
    )


def _sampler(
    data: TrainingData, bought: Examples, distribution: NegativeDistribution
) -> tuple[np.ndarray, NegativeSampler]:
    """User numbers of the purchases, and a sampler that knows what each user bought."""
    _, users = np.unique(bought.user["user_id"].astype(str), return_inverse=True)
    keys = users.astype(np.int64) * len(data.history.item_ids) + bought.item
    order = np.argsort(keys)
    return users, NegativeSampler(data.history, distribution, keys[order], bought.timestamp[order])


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
    data: TrainingData, parameters: DlrmParameters, folder: Path, channel: Channel
) -> dict[str, Any]:
    """Trains and writes the DLRM's files into `folder`; returns what `metrics.json` holds."""
    trainer = Trainer(data, fit_encoding(data, parameters), parameters)
    validation, label = trainer.validation()
    report = EpochReport(channel)
    probability = np.empty(0)
    for _ in range(parameters.epochs):
        loss = trainer.epoch(with_validation=False)
        probability = 1 / (1 + np.exp(-trainer.predict(validation)))
        report.add(
            {
                "loss": loss,
                "auc": auc(label, probability),
                "log_loss": log_loss(label, probability),
            }
        )
    for _ in range(parameters.final_epochs):
        report.add({"loss": trainer.epoch(with_validation=True)})
    difference = trainer.save(folder)
    popularity = data.history.activity_at(validation.item, validation.timestamp)["popularity_28d"]
    last = report.history[parameters.epochs - 1]
    metrics = {
        "epochs": report.history,
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
        "finite_weights": bool(all(np.isfinite(w).all() for w in trainer.model.get_weights())),
        "parameters": asdict(parameters),
        "peak_memory_gib": round(peak_memory_gib(), 2),
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")
    return metrics


def main() -> None:
    """Entry point of the Pipes process; extras: `store`, `through`, `parameters`."""
    from dagster_pipes import open_dagster_pipes

    from recsys_assets.retrieval.training_process import limit_threads

    with open_dagster_pipes() as pipes:
        limit_threads()
        store = Store(pipes.get_extra("store"))
        data = load_training_data(store, pipes.get_extra("through"))
        parameters = DlrmParameters(**pipes.get_extra("parameters"))
        two_tower = store.artifact("two_tower").fetch()
        with store.artifact("dlrm").new_version() as draft:
            train(data, parameters, draft.path, pipes)
            add_retrieval(draft.path, two_tower, parameters)
        pipes.report_custom_message({"version": draft.version})


if __name__ == "__main__":
    main()
