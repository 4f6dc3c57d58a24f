"""The ranker, a DLRM of unmodified Merlin parts, and how it learns. Runs in the models environment.

Naumov et al., "Deep Learning Recommendation Model for Personalization and Recommendation
Systems", arXiv 1906.00091: embedding tables, a bottom MLP over the numbers (the text embedding
among them), dot products of all pairs, a top MLP.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_assets.events.contract import distinct
from recsys_assets.features.encoding import UNKNOWN, Encoding, ModelEncoding
from recsys_assets.models import examples as drawing
from recsys_assets.models.examples import Examples, example_weights, snapshot_moments
from recsys_assets.models.hyperparameters import DlrmParameters
from recsys_assets.models.inputs import query_inputs
from recsys_assets.models.merlin import (
    export_onnx,
    largest_difference,
    named_inputs,
    save_weights,
    side_schema,
)
from recsys_assets.models.negatives import NegativeDistribution, NegativeSampler
from recsys_assets.models.purchase_counts import PurchaseCountHistory, PurchaseCounts, Purchases
from recsys_assets.models.training_data import TrainingData
from recsys_assets.runtime.pace import Progress, silent, told

if TYPE_CHECKING:
    import tensorflow as tf

VECTORS = ("query_numbers", "item_numbers", "item_text", "affinity")
TARGET = "label"
RANKER = "ranker.onnx"
_PREDICT_BLOCK = 16_384
_CHECKED_ROWS = 256
_VALIDATION_SEED = 7


def build(encoding: ModelEncoding, parameters: DlrmParameters) -> "tf.keras.Model":
    """An untrained, compiled model of inputs by name, see `features`; it returns P [n, 1]."""
    import merlin.models.tf as mm
    import tensorflow as tf
    from merlin.schema import ColumnSchema, Schema, Tags

    # The favourite category and the item's category share a table: their product is a match.
    tables = dict(query_inputs([]).same_values)
    query = side_schema(encoding.query.cardinalities, VECTORS[:1], Tags.USER, tables)
    item = side_schema(encoding.item.cardinalities, VECTORS[1:], Tags.ITEM)
    target = ColumnSchema(TARGET, tags=[Tags.TARGET, Tags.BINARY_CLASSIFICATION])
    categories = Schema([*query, *item]).select_by_tag(Tags.CATEGORICAL)
    model = mm.DLRMModel(
        Schema([*query, *item, target]),
        embeddings=mm.Embeddings(
            categories,
            dim=parameters.embedding_dim,
            l2_batch_regularization_factor=parameters.l2,
        ),
        bottom_block=mm.MLPBlock([parameters.bottom_dim, parameters.embedding_dim]),
        top_block=mm.MLPBlock(
            [parameters.top_dim, parameters.top_dim // 2], dropout=parameters.dropout or None
        ),
        prediction_tasks=mm.BinaryOutput(TARGET),
    )
    steps = parameters.positives_per_epoch // parameters.batch_positives
    learning_rate = tf.keras.optimizers.schedules.CosineDecay(
        parameters.learning_rate, max(steps, 1) * (parameters.epochs + parameters.final_epochs)
    )
    model.compile(optimizer=tf.keras.optimizers.Adam(learning_rate), metrics=[], run_eagerly=False)
    return model


def features(
    encoding: ModelEncoding,
    query_ids: Any,
    query_numbers: Any,
    item_ids: Any,
    item_numbers: Any,
    item_text: Any,
    affinity: Any,
) -> dict[str, Any]:
    """Inputs of the model from matrices [n, ...], numpy or TensorFlow."""
    return {
        **named_inputs(list(encoding.query.vocabularies), query_ids),
        **named_inputs(list(encoding.item.vocabularies), item_ids),
        VECTORS[0]: query_numbers,
        VECTORS[1]: item_numbers,
        VECTORS[2]: item_text,
        VECTORS[3]: affinity,
    }


def log_odds(model: "tf.keras.Model", inputs: dict[str, Any]) -> Any:
    """log(P / (1 - P)) [n], the model's output before its sigmoid."""
    import tensorflow as tf

    probability = tf.clip_by_value(model(inputs, training=False)[:, 0], 1e-7, 1 - 1e-6)
    return tf.math.log(probability) - tf.math.log(1 - probability)


class DlrmTrainer:
    """A model with its data.

    Args:
        data: of the whole span, which says what was bought and what was known of items.
        encoding: of the model.
        parameters: see there.
        bought: the examples to learn from; all by default.
    """

    def __init__(
        self,
        data: TrainingData,
        encoding: ModelEncoding,
        parameters: DlrmParameters,
        bought: Examples | None = None,
    ) -> None:
        import tensorflow as tf

        tf.keras.utils.set_random_seed(parameters.seed)
        self.random = np.random.default_rng(parameters.seed)
        self.data, self.encoding, self.parameters = data, encoding, parameters
        self.catalogue = drawing.encode_catalogue(encoding, data.history, data.text)
        self.masks = drawing.Masks(
            parameters.mask_id, parameters.mask_attribute, parameters.mask_user
        )
        self.bought = data.examples if bought is None else bought
        self.queries = drawing.encode_queries(encoding, self.bought)
        self.purchases = Purchases.from_table(data.purchases, encoding, data.history)
        self.purchase_counts = PurchaseCountHistory(self.purchases)
        self.distribution = NegativeDistribution(parameters.exponent, parameters.uniform_share)
        numbers, self.sampler = _sampler(data, self.distribution)
        self.users = np.array([numbers[user] for user in self.bought.user["user_id"]], np.int64)
        self.model = build(encoding, parameters)

    def epoch(self, *, with_validation: bool, progress: Progress = silent) -> float:
        """One pass; returns the mean loss. `progress` counts batches."""
        weights = example_weights(
            self.bought, self.parameters.half_life_days, self.parameters.household_power
        )
        if not with_validation:
            weights = weights * ~self.bought.validation
        rows = drawing.draw(weights, self.parameters.positives_per_epoch, self.random)
        return self.fit(rows, progress)

    def fit(self, rows: np.ndarray, progress: Progress = silent) -> float:
        """One pass over examples by their numbers, int64 [n]; returns the mean loss."""
        import tensorflow as tf

        inputs, label = next(self._batches(rows[: self.parameters.batch_positives]))
        signature = (
            {n: tf.TensorSpec([None, v.shape[1]], v.dtype) for n, v in inputs.items()},
            tf.TensorSpec([None, 1], label.dtype),
        )
        dataset = tf.data.Dataset.from_generator(
            lambda: self._batches(rows, progress), output_signature=signature
        )
        return float(self.model.fit(dataset.prefetch(2), verbose=0).history["loss"][0])

    def _batches(
        self, rows: np.ndarray, progress: Progress = silent
    ) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        each = 1 + self.parameters.negatives
        for part in told(drawing.batches(rows, self.parameters.batch_positives), progress):
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
                features(
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

    def build(self) -> list[tuple[int, ...]]:
        """Makes the model's weights, which Keras does on its first call; returns their shapes."""
        self.predict(self.bought.take(np.arange(1)))
        return [tuple(weight.shape) for weight in self.model.weights]

    def start_from(self, weights: Sequence[np.ndarray]) -> None:
        """Takes weights, in the order of `build`, in the place of random ones."""
        self.model.set_weights(list(weights))

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
        return features(
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
        return self.purchase_counts.affinities(user, self.catalogue.ids[items, 1:], moments)

    def _log_odds(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(log_odds(self.model, inputs))

    def save(self, folder: Path) -> float:
        """Writes ONNX, encoding, purchase counts, and weights for fine-tuning.

        Returns:
            The largest difference between ONNX and TensorFlow.
        """
        self.encoding.save(folder / "encoding.json")
        PurchaseCounts.of(self.purchases).save(folder)
        save_weights(self.model, folder / "weights.npz")
        query, item = self.encoding.query, self.encoding.item
        inputs = [
            ("query_ids", np.int32, len(query.vocabularies)),
            ("query_numbers", np.float32, query.dense_width),
            ("item_ids", np.int32, len(item.vocabularies)),
            ("item_numbers", np.float32, item.dense_width),
            ("item_text", np.float32, self.catalogue.text.shape[1]),
            ("affinity", np.float32, self.purchase_counts.affinity_width),
        ]
        export_onnx(
            lambda *arrays: log_odds(self.model, features(self.encoding, *arrays)),
            inputs,
            folder / RANKER,
        )
        return self.difference_from(folder / RANKER, self.encoding)

    def difference_from(self, file: Path, encoding: ModelEncoding) -> float:
        """Largest difference of an exported ranker from the model as it is now.

        Args:
            file: the exported ranker.
            encoding: of the exported ranker: the model's own, or the one that it extends. Ids
                that it does not know are its unknown rows.

        Raises:
            ExportDiffers: it is not the same function.
        """
        query, item = encoding.query, encoding.item
        newest = np.arange(len(self.bought))[-_CHECKED_ROWS:]
        some = self.bought.take(newest)
        arrays = self._features(
            drawing.encode_queries(self.encoding, some), some, np.arange(len(some))
        )
        feeds = {
            "query_ids": _known(arrays, query),
            "item_ids": _known(arrays, item),
            **{name: arrays[name] for name in VECTORS},
        }
        return largest_difference(file, self.predict(some), feeds, limit=1e-3)


def _known(arrays: dict[str, np.ndarray], encoding: Encoding) -> np.ndarray:
    """Ids int32 [n, columns], those beyond the encoding's vocabularies as unknown."""
    columns = [
        np.where(arrays[name] < size, arrays[name], UNKNOWN)
        for name, size in encoding.cardinalities.items()
    ]
    return np.hstack(columns).astype(np.int32)


def _sampler(
    data: TrainingData, distribution: NegativeDistribution
) -> tuple[dict[str, int], NegativeSampler]:
    """The number of each user, and a sampler that knows what each has bought."""
    bought = data.examples
    names, users = distinct(bought.user["user_id"])
    keys = users * len(data.history.item_ids) + bought.item
    order = np.argsort(keys)
    numbers = {name: number for number, name in enumerate(names)}
    sampler = NegativeSampler(data.history, distribution, keys[order], bought.timestamp[order])
    return numbers, sampler
