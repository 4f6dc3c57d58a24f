"""Retrieval assets. Wiring only; training is in `train.py`, the index in `index.py`."""

import json
import time
from dataclasses import asdict

import dagster as dg

from recsys_assets.resources import StoreResource
from recsys_assets.retrieval.configuration import config_fields
from recsys_assets.retrieval.hyperparameters import TwoTowerParameters
from recsys_assets.retrieval.pipes import ModelsEnvironment
from recsys_assets.retrieval.resources import TrainingSpan, VectorIndex

_CURVES = ("recall_at_10", "recall_at_100", "recall_at_300")


@dg.asset(
    group_name="retrieval",
    owners=["team:ml"],
    kinds={"tensorflow", "python", "onnx"},
    code_version="1",
    deps=[
        "training_examples",
        "interactions",
        "item_features",
        "item_text_embeddings",
        "items",
        "users",
    ],
    config_schema=config_fields(TwoTowerParameters),
    description=(
        "Two-tower model (Merlin): a query tower over user id, attributes, windows and request "
        "context, an item tower over item id, categories, activity and text embedding; in-batch "
        "sampled softmax with popularity correction on first-time purchases. Each epoch is an "
        "observation while it trains. Exported as ONNX, with encoding, weights and figures."
    ),
)
def two_tower(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    models: ModelsEnvironment,
    training_span: TrainingSpan,
) -> dg.MaterializeResult:
    """Trains in the models environment and publishes the artifact `two_tower`."""
    from recsys_assets.retrieval.plots import learning_curves

    started = time.monotonic()
    version = models.run(
        context,
        "recsys_assets.retrieval.train",
        {
            "store": store.url,
            "through": training_span.through,
            "parameters": asdict(TwoTowerParameters(**context.op_execution_context.op_config)),
        },
    )
    folder = store.get().artifact("two_tower").fetch(version)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            **metrics["validation"],
            "validation_households": metrics["validation_households"],
            "training_purchases": metrics["examples"],
            "trained_through": training_span.through,
            "learning_curves": dg.MetadataValue.md(learning_curves(metrics["epochs"], _CURVES)),
            "epochs": dg.MetadataValue.json(metrics["epochs"]),
            "parameters": dg.MetadataValue.json(metrics["parameters"]),
            "onnx_difference": metrics["onnx_difference"],
            "peak_memory_gib": metrics["peak_memory_gib"],
            "seconds": round(time.monotonic() - started, 1),
            "version": version,
        },
    )


@dg.asset(
    group_name="retrieval",
    owners=["team:ml"],
    kinds={"onnx", "numpy"},
    code_version="1",
    deps=["two_tower", "item_features", "item_promotions", "item_text_embeddings", "items"],
    description=(
        "Embeddings of every item of the catalogue by the exported item tower, of item features "
        "as of the end of the training span; unit vectors, in catalogue order."
    ),
)
def item_embeddings(store: StoreResource, training_span: TrainingSpan) -> dg.MaterializeResult:
    """Embeds the catalogue and publishes the artifact `item_embeddings`."""
    import numpy as np

    from recsys_assets.retrieval.item_history import ItemHistory, midnight_after
    from recsys_assets.retrieval.item_tower import ItemTower, write_embeddings
    from recsys_assets.retrieval.training_data import text_embeddings

    started = time.monotonic()
    storage = store.get()
    history = ItemHistory.load(storage, training_span.through)
    moment = midnight_after(training_span.through)
    tower = storage.artifact("two_tower").fetch()
    columns = history.snapshot(moment)
    embeddings = ItemTower(tower).embed(columns, text_embeddings(storage, history.item_ids), moment)
    with storage.artifact("item_embeddings").new_version() as draft:
        write_embeddings(draft.path, embeddings, history.item_ids)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(draft.version),
        metadata={
            "dagster/row_count": len(embeddings),
            "dimensions": embeddings.shape[1],
            "never_sold": int(np.isnan(columns["first_sold_at"]).sum()),
            "features_as_of": training_span.through,
            "two_tower_version": tower.name,
            "seconds": round(time.monotonic() - started, 1),
            "version": draft.version,
        },
    )


@dg.asset(
    group_name="retrieval",
    owners=["team:ml"],
    kinds={"faiss"},
    code_version="1",
    deps=["item_embeddings", "two_tower"],
    description=(
        "FAISS index of the item embeddings by inner product: flat, HNSW or IVF-PQ by "
        "configuration. Its recall is measured against exact search with the query embeddings of "
        "households of the validation week."
    ),
)
def item_index(
    context: dg.AssetExecutionContext, store: StoreResource, vector_index: VectorIndex
) -> dg.MaterializeResult:
    """Builds, measures and publishes the artifact `item_index`."""
    import numpy as np

    from recsys_assets.retrieval import index
    from recsys_assets.retrieval.item_tower import read_embeddings
    from recsys_assets.retrieval.train import SAMPLE_QUERIES

    started = time.monotonic()
    storage = store.get()
    embeddings, item_ids = read_embeddings(storage.artifact("item_embeddings").fetch())
    queries = np.load(storage.artifact("two_tower").fetch() / SAMPLE_QUERIES, allow_pickle=False)
    built = index.build(embeddings, vector_index.kind)
    built_in = time.monotonic() - started
    recall = index.recall_at(built, embeddings, queries)
    context.log.info(f"{vector_index.kind} index: recall@100 {recall:.4f} against exact search")
    description = index.IndexDescription(
        vector_index.kind, len(item_ids), embeddings.shape[1], recall
    )
    with storage.artifact("item_index").new_version() as draft:
        index.write_index(draft.path, built, item_ids, description)
        size = (draft.path / "index.faiss").stat().st_size
    return dg.MaterializeResult(
        data_version=dg.DataVersion(draft.version),
        metadata={
            "dagster/row_count": len(item_ids),
            "kind": vector_index.kind,
            "recall_at_100": recall,
            "queries": len(queries),
            "bytes": size,
            "build_seconds": round(built_in, 1),
            "version": draft.version,
        },
    )
