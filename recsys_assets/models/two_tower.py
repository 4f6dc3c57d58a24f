"""The two-tower model, of unmodified Merlin parts, and how it learns.

Runs in the models environment.

In-batch sampled softmax with popularity (logQ) correction (Yi et al., "Sampling-bias-corrected
neural modeling for large corpus item recommendations", RecSys 2019). Its negatives are the other
items of the batch, so an item is drawn as often as it is bought; the correction takes that out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_assets.features.encoding import ModelEncoding
from recsys_assets.models import examples as drawing
from recsys_assets.models.examples import Examples, example_weights, snapshot_moments
from recsys_assets.models.hyperparameters import TwoTowerParameters
from recsys_assets.models.merlin import (
    categorical,
    export_onnx,
    largest_difference,
    named_inputs,
    save_weights,
    side_schema,
)
from recsys_assets.models.purchase_counts import PurchaseCountHistory, PurchaseCounts, Purchases
from recsys_assets.models.training_data import TrainingData
from recsys_assets.models.validation import ValidationWeek
from recsys_assets.runtime.pace import Progress, silent, told

if TYPE_CHECKING:
    import tensorflow as tf
    from merlin.schema import Schema

QUERY_VECTORS = ("query_numbers", "query_profile")
ITEM_VECTORS = ("item_numbers", "item_text")
CANDIDATE = "candidate"  # the item's row that is never masked, by which negatives are told apart
_IDS = ("user_id", "item_id")
_ENCODE_BLOCK = 8192
_CHECKED_ROWS = 256


def build(
    encoding: ModelEncoding, frequencies: np.ndarray, parameters: TwoTowerParameters
) -> "tf.keras.Model":
    """An untrained, compiled model.

    Args:
        encoding: gives the sizes of the embedding tables.
        frequencies: float [items + 1], how often each candidate is drawn; the first is unused.
        parameters: see there.

    Returns:
        A model of inputs by name: every categorical column int32 [n, 1], `query_numbers` [n, q],
        `query_profile` [n, p], `item_numbers` [n, i], `item_text` [n, t], `candidate` int32 [n, 1].
    """
    import merlin.models.tf as mm
    import tensorflow as tf
    from merlin.models.tf.outputs.base import DotProduct
    from merlin.models.tf.outputs.contrastive import ContrastiveOutput
    from merlin.models.tf.transforms.bias import PopularityLogitsCorrection
    from merlin.schema import Schema, Tags

    query = side_schema(encoding.query.cardinalities, QUERY_VECTORS, Tags.USER)
    item = side_schema(encoding.item.cardinalities, ITEM_VECTORS, Tags.ITEM)
    candidate = Schema([categorical(CANDIDATE, len(frequencies), Tags.ITEM_ID)])
    steps = parameters.examples_per_epoch // parameters.batch_size
    learning_rate = tf.keras.optimizers.schedules.CosineDecay(
        parameters.learning_rate, max(steps, 1) * (parameters.epochs + parameters.final_epochs)
    )
    # The correction precedes the temperature, which would blow it up: hence reg_factor.
    correction = PopularityLogitsCorrection(
        tf.constant(frequencies + 1e-6, tf.float32),
        schema=candidate,
        reg_factor=parameters.temperature,
    )
    model = mm.TwoTowerModelV2(
        _tower(query, parameters),
        _tower(item, parameters),
        outputs=ContrastiveOutput(
            to_call=DotProduct(),
            negative_samplers="in-batch",
            schema=candidate,
            logits_temperature=parameters.temperature,
            store_negative_ids=True,  # without it only the positives are corrected
            post=correction,
        ),
        schema=Schema([*query, *item, *candidate]),
    )
    model.compile(optimizer=tf.keras.optimizers.Adam(learning_rate), metrics=[], run_eagerly=False)
    return model


def query_features(encoding: ModelEncoding, ids: Any, dense: Any, profile: Any) -> dict[str, Any]:
    """Inputs of the query tower from `ids` [n, columns], `dense` [n, width], `profile` [n, p]."""
    names = list(encoding.query.vocabularies)
    return {**named_inputs(names, ids), QUERY_VECTORS[0]: dense, QUERY_VECTORS[1]: profile}


def item_features(encoding: ModelEncoding, ids: Any, dense: Any, text: Any) -> dict[str, Any]:
    """Inputs of the item tower from `ids` [n, columns], `dense` [n, width] and `text` [n, t]."""
    names = list(encoding.item.vocabularies)
    return {**named_inputs(names, ids), ITEM_VECTORS[0]: dense, ITEM_VECTORS[1]: text}


def _tower(schema: "Schema", parameters: TwoTowerParameters) -> Any:
    import merlin.models.tf as mm
    from merlin.schema import Tags

    tables = schema.select_by_tag(Tags.CATEGORICAL)
    dims = {
        name: parameters.id_dim if name in _IDS else parameters.attribute_dim
        for name in tables.column_names
    }
    embeddings = mm.Embeddings(tables, dim=dims, l2_batch_regularization_factor=parameters.l2)
    return mm.Encoder(
        mm.InputBlockV2(schema, categorical=embeddings),
        mm.MLPBlock(
            [parameters.hidden_dim, parameters.embedding_dim],
            no_activation_last_layer=True,
            dropout=parameters.dropout or None,
        ),
        post=mm.L2Norm(),
    )


class TwoTowerTrainer:
    """A model with its data.

    The frequencies of the popularity correction are those with which candidates are drawn.
    """

    def __init__(
        self,
        data: TrainingData,
        encoding: ModelEncoding,
        catalogue: drawing.Catalogue,
        parameters: TwoTowerParameters,
    ) -> None:
        self.data, self.encoding = data, encoding
        self.catalogue, self.parameters = catalogue, parameters
        self.purchases = Purchases.from_table(data.purchases, encoding, data.history)
        self.purchase_counts = PurchaseCountHistory(self.purchases)
        import tensorflow as tf

        tf.keras.utils.set_random_seed(self.parameters.seed)
        self.random = np.random.default_rng(self.parameters.seed)
        bought = self.bought = self.data.examples
        self.queries = drawing.encode_queries(self.encoding, bought)
        self.weights = example_weights(
            bought, self.parameters.half_life_days, self.parameters.household_power
        )
        items = len(self.catalogue.ids)
        frequencies = np.bincount(bought.item + 1, self.weights, minlength=items + 1)
        self.model = build(self.encoding, frequencies, self.parameters)

    def epoch(self, *, with_validation: bool, progress: Progress = silent) -> float:
        """One pass; returns the mean loss. `progress` counts batches."""
        import tensorflow as tf

        weights = self.weights if with_validation else self.weights * ~self.bought.validation
        rows = drawing.draw(weights, self.parameters.examples_per_epoch, self.random)
        first = next(self._batches(rows[: self.parameters.batch_size]))
        signature = {
            name: tf.TensorSpec([None, values.shape[1]], values.dtype)
            for name, values in first.items()
        }
        dataset = tf.data.Dataset.from_generator(
            lambda: self._batches(rows, progress), output_signature=signature
        )
        steps = dataset.map(lambda features: (features, None)).prefetch(2)
        return float(self.model.fit(steps, verbose=0).history["loss"][0])

    def _batches(
        self, rows: np.ndarray, progress: Progress = silent
    ) -> Iterator[dict[str, np.ndarray]]:
        bought, encoding, parameters = self.bought, self.encoding, self.parameters
        masks = drawing.Masks(parameters.mask_id, parameters.mask_attribute, parameters.mask_user)
        for part in told(drawing.batches(rows, parameters.batch_size), progress):
            asked = drawing.mask_queries(self.queries, part, encoding, masks, self.random)
            items, timestamps = bought.item[part], bought.timestamp[part]
            moments = snapshot_moments(timestamps, self.random, parameters.max_snapshot_age_days)
            numbers = drawing.encode_items(
                encoding, self.data.history, items, moments, moments, timestamps
            )
            item_ids = drawing.mask_items(self.catalogue.ids[items], masks, self.random)
            yield {
                **query_features(
                    encoding,
                    asked.ids,
                    asked.dense,
                    self.purchase_counts.profiles(asked.user, moments),
                ),
                **item_features(encoding, item_ids, numbers, self.catalogue.text[items]),
                CANDIDATE: (items + 1).astype(np.int32)[:, None],
            }

    def embed_catalogue(self, moment: int) -> np.ndarray:
        """Item embeddings float32 [items, d] by TensorFlow, of features as of `moment`."""
        return _in_blocks(self.model.candidate_encoder, self._snapshot(moment))

    def _snapshot(self, moment: int) -> dict[str, np.ndarray]:
        rows = np.arange(len(self.catalogue.ids))
        at = np.full(len(rows), moment)
        numbers = drawing.encode_items(self.encoding, self.data.history, rows, at, at, at)
        return item_features(self.encoding, self.catalogue.ids, numbers, self.catalogue.text)

    def validate(self, week: ValidationWeek) -> dict[str, float]:
        """Recall and NDCG on the validation week, items as of its first day."""
        moment = int(week.requests.timestamp.min()) // 86_400 * 86_400
        queries = self.embed_requests(week.requests)
        return week.metrics(queries, self.embed_catalogue(moment))

    def embed_requests(self, requests: Examples) -> np.ndarray:
        """Query embeddings float32 [n, d] of the request side of examples."""
        return _in_blocks(self.model.query_encoder, self._requests(requests))

    def _requests(self, requests: Examples) -> dict[str, np.ndarray]:
        asked = drawing.encode_queries(self.encoding, requests)
        # As in a release, whose purchase counts are of one day for all requests.
        moments = np.full(len(requests), requests.timestamp.min())
        profiles = self.purchase_counts.profiles(asked.ids[:, 0].astype(np.int64), moments)
        return query_features(self.encoding, asked.ids, asked.dense, profiles)

    def save(self, folder: Path) -> float:
        """Writes both towers as ONNX, the encoding, and the weights for fine-tuning.

        Returns:
            The largest difference between ONNX and TensorFlow.
        """
        self.encoding.save(folder / "encoding.json")
        PurchaseCounts.of(self.purchases).save(folder)
        save_weights(self.model, folder / "weights.npz")
        query, item = self.encoding.query, self.encoding.item
        ids = ("ids", np.int32)
        export_onnx(
            lambda i, d, p: self.model.query_encoder(query_features(self.encoding, i, d, p)),
            [
                (*ids, len(query.vocabularies)),
                ("numbers", np.float32, query.dense_width),
                ("profile", np.float32, self.purchase_counts.profile_width),
            ],
            folder / "query_tower.onnx",
        )
        export_onnx(
            lambda i, d, t: self.model.candidate_encoder(item_features(self.encoding, i, d, t)),
            [
                (*ids, len(item.vocabularies)),
                ("numbers", np.float32, item.dense_width),
                ("text", np.float32, self.catalogue.text.shape[1]),
            ],
            folder / "item_tower.onnx",
        )
        some = self.bought.take(np.arange(min(_CHECKED_ROWS, len(self.bought))))
        asked = self._requests(some)
        shown = self._snapshot(int(self.bought.timestamp.max()))
        shown = {name: values[:_CHECKED_ROWS] for name, values in shown.items()}
        return max(
            largest_difference(
                folder / "query_tower.onnx",
                _in_blocks(self.model.query_encoder, asked),
                {
                    "ids": np.hstack([asked[name] for name in query.vocabularies]),
                    "numbers": asked[QUERY_VECTORS[0]],
                    "profile": asked[QUERY_VECTORS[1]],
                },
            ),
            largest_difference(
                folder / "item_tower.onnx",
                _in_blocks(self.model.candidate_encoder, shown),
                {
                    "ids": np.hstack([shown[name] for name in item.vocabularies]),
                    "numbers": shown[ITEM_VECTORS[0]],
                    "text": shown[ITEM_VECTORS[1]],
                },
            ),
        )


def _in_blocks(tower: Any, features: dict[str, np.ndarray]) -> np.ndarray:
    count = len(next(iter(features.values())))
    return np.concatenate(
        [
            tower({n: v[start : start + _ENCODE_BLOCK] for n, v in features.items()}).numpy()
            for start in range(0, count, _ENCODE_BLOCK)
        ]
    )
