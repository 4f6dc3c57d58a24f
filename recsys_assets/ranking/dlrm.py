"""The ranker: DLRM of unmodified Merlin parts. Runs in the models environment.

Naumov et al., "Deep Learning Recommendation Model for Personalization and Recommendation
Systems", arXiv 1906.00091: embedding tables, a bottom MLP over the numbers (the text embedding
among them), dot products of all pairs, a top MLP.
"""

from typing import TYPE_CHECKING, Any

from recsys_assets.features.encoding import ModelEncoding
from recsys_assets.ranking.hyperparameters import DlrmParameters
from recsys_assets.retrieval.inputs import query_inputs
from recsys_assets.retrieval.merlin_inputs import named, side_schema

if TYPE_CHECKING:
    import tensorflow as tf

VECTORS = ("query_numbers", "item_numbers", "item_text", "affinity")
TARGET = "label"


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
        **named(list(encoding.query.vocabularies), query_ids),
        **named(list(encoding.item.vocabularies), item_ids),
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
