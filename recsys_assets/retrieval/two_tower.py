"""The two-tower model, of unmodified Merlin parts. Runs in the models environment.

In-batch sampled softmax with popularity (logQ) correction (Yi et al., "Sampling-bias-corrected
neural modeling for large corpus item recommendations", RecSys 2019). Its negatives are the other
items of the batch, so an item is drawn as often as it is bought; the correction takes that out.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_assets.features.encoding import ModelEncoding
from recsys_assets.retrieval.hyperparameters import TwoTowerParameters
from recsys_assets.retrieval.merlin_inputs import categorical, named, side_schema

if TYPE_CHECKING:
    import tensorflow as tf
    from merlin.schema import Schema

QUERY_VECTORS = ("query_numbers", "query_profile")
ITEM_VECTORS = ("item_numbers", "item_text")
CANDIDATE = "candidate"  # the item's row that is never masked, by which negatives are told apart
_IDS = ("user_id", "item_id")


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
    return {**named(names, ids), QUERY_VECTORS[0]: dense, QUERY_VECTORS[1]: profile}


def item_features(encoding: ModelEncoding, ids: Any, dense: Any, text: Any) -> dict[str, Any]:
    """Inputs of the item tower from `ids` [n, columns], `dense` [n, width] and `text` [n, t]."""
    names = list(encoding.item.vocabularies)
    return {**named(names, ids), ITEM_VECTORS[0]: dense, ITEM_VECTORS[1]: text}


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
