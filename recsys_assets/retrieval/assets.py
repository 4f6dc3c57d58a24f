"""Retrieval assets. Wiring only; training is in `train.py`, the index in `index.py`."""

import time
from dataclasses import asdict

import dagster as dg

from recsys_assets.code_version import code_version
from recsys_assets.resources import RunDays, StoreResource
from recsys_assets.retrieval.configuration import config_fields
from recsys_assets.retrieval.hyperparameters import TwoTowerParameters
from recsys_assets.retrieval.pipes import ModelsEnvironment, train
from recsys_assets.retrieval.resources import VectorIndex


@dg.asset(
    group_name="retrieval",
    owners=["team:ml"],
    kinds={"tensorflow", "python", "onnx"},
    code_version=code_version("recsys_assets.retrieval.train"),
    deps=[
        "training_examples",
        "interactions",
        "item_features",
        "item_promotions",
        "item_text_embeddings",
        "items",
        "catalogue_history",
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
    run_days: RunDays,
) -> dg.MaterializeResult:
    """Trains in the models environment and publishes the artifact `two_tower`."""
    parameters = TwoTowerParameters(**context.op_execution_context.op_config)
    through = run_days.get().train_through.isoformat()
    extras = {"through": through, "parameters": asdict(parameters)}
    trained = train(context, store, models, "recsys_assets.retrieval.train", extras)
    return trained.result(
        through,
        curves=("recall_at_10", "recall_at_100", "recall_at_300"),
        more={"validation_households": trained.metrics["validation_households"]},
    )


@dg.asset(
    group_name="retrieval",
    owners=["team:ml"],
    kinds={"onnx", "numpy"},
    code_version=code_version("recsys_assets.retrieval.catalogue_snapshot"),
    deps=["two_tower", "item_features", "item_promotions", "item_text_embeddings", "items"],
    description=(
        "Embeddings of every item of the catalogue by the exported item tower, of item features "
        "as of the end of history; unit vectors, in catalogue order."
    ),
)
def item_embeddings(store: StoreResource, run_days: RunDays) -> dg.MaterializeResult:
    """Embeds the catalogue and publishes the artifact `item_embeddings`."""
    import numpy as np

    from recsys_assets.retrieval.catalogue_snapshot import CatalogueSnapshot
    from recsys_assets.retrieval.item_tower import write_embeddings

    started = time.monotonic()
    storage, through = store.get(), run_days.get().history_through.isoformat()
    tower = storage.artifact("two_tower").fetch()
    known = CatalogueSnapshot.at(storage, through)
    embeddings = known.embeddings(tower)
    with storage.artifact("item_embeddings").new_version() as draft:
        write_embeddings(draft.path, embeddings, known.history.item_ids)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(draft.version),
        metadata={
            "dagster/row_count": len(embeddings),
            "dimensions": embeddings.shape[1],
            "never_sold": int(np.isnan(known.columns["first_sold_at"]).sum()),
            "features_as_of": through,
            "two_tower_version": tower.name,
            "seconds": round(time.monotonic() - started, 1),
            "version": draft.version,
        },
    )


@dg.asset(
    group_name="retrieval",
    owners=["team:ml"],
    kinds={"faiss"},
    code_version=code_version(
        "recsys_assets.retrieval.index",
        "recsys_assets.retrieval.index_tuning",
        "recsys_assets.retrieval.item_tower",
    ),
    deps=["item_embeddings", "two_tower", "index_tuning"],
    description=(
        "FAISS index of the item embeddings by inner product: of the kind that is configured, or "
        "as `index_tuning` has chosen (`auto`). Its recall is measured against exact search, for "
        "each search budget, with the query embeddings of households of the validation week."
    ),
)
def item_index(
    context: dg.AssetExecutionContext, store: StoreResource, vector_index: VectorIndex
) -> dg.MaterializeResult:
    """Builds, measures and publishes the artifact `item_index`."""
    import numpy as np

    from recsys_assets.retrieval import index, index_kinds
    from recsys_assets.retrieval.index_measure import recall_by_budget
    from recsys_assets.retrieval.index_tuning import parameters_for
    from recsys_assets.retrieval.item_tower import read_embeddings
    from recsys_assets.retrieval.train import SAMPLE_QUERIES

    started = time.monotonic()
    storage = store.get()
    embeddings, item_ids = read_embeddings(storage.artifact("item_embeddings").fetch())
    queries = np.load(storage.artifact("two_tower").fetch() / SAMPLE_QUERIES, allow_pickle=False)
    parameters = parameters_for(storage, vector_index.kind, len(item_ids))
    built = index_kinds.build(embeddings, parameters)
    built_in = time.monotonic() - started
    budgets = index_kinds.budgets_of(built)
    recalls = recall_by_budget(built, embeddings, queries, budgets)
    recall = recalls[index_kinds.NORMAL]
    context.log.info(f"{parameters.name}: recall@100 {recall:.4f} against exact search")
    description = index.IndexDescription(
        parameters.kind, len(item_ids), embeddings.shape[1], recall, budgets
    )
    with storage.artifact("item_index").new_version() as draft:
        index.write_index(draft.path, built, item_ids, description)
        size = (draft.path / "index.faiss").stat().st_size
    return dg.MaterializeResult(
        data_version=dg.DataVersion(draft.version),
        metadata={
            "dagster/row_count": len(item_ids),
            "kind": parameters.kind,
            "built_with": parameters.name,
            "recall_at_100": recall,
            "recall_at_100_by_budget": dg.MetadataValue.json(recalls),
            "budgets": dg.MetadataValue.json(budgets),
            "queries": len(queries),
            "bytes": size,
            "build_seconds": round(built_in, 1),
            "version": draft.version,
        },
    )
