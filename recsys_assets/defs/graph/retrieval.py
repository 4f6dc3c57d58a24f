"""Assets of the two-tower model and its index, with their checks.

Training is in `two_tower_training.py`, the index and its tuning in `models/index/`.
"""

import json
import time
from dataclasses import asdict
from typing import Any

import dagster as dg

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.configuration import config_fields
from recsys_assets.defs.pipes.pipes import ModelsEnvironment, train
from recsys_assets.defs.resources import RunDays, StoreResource, VectorIndex
from recsys_assets.models.hyperparameters import TwoTowerParameters
from recsys_assets.models.index.index_tuning import ARTIFACT, Tuning, read_tuning

_LOWEST_RECALL = 0.98


@dg.asset(
    group_name="retrieval",
    owners=["team:ml"],
    kinds={"tensorflow", "python", "onnx"},
    code_version=code_version("recsys_assets.models.two_tower_training"),
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
    trained = train(context, store, models, "recsys_assets.models.two_tower_training", extras)
    return trained.result(
        through,
        curves=("recall_at_10", "recall_at_100", "recall_at_300"),
        more={"validation_households": trained.metrics["validation_households"]},
    )


@dg.asset(
    group_name="retrieval",
    owners=["team:ml"],
    kinds={"onnx", "numpy"},
    code_version=code_version("recsys_assets.models.training_data"),
    deps=["two_tower", "item_features", "item_promotions", "item_text_embeddings", "items"],
    description=(
        "Embeddings of every item of the catalogue by the exported item tower, of item features "
        "as of the end of history; unit vectors, in catalogue order."
    ),
)
def item_embeddings(store: StoreResource, run_days: RunDays) -> dg.MaterializeResult:
    """Embeds the catalogue and publishes the artifact `item_embeddings`."""
    import numpy as np

    from recsys_assets.models.towers import write_embeddings
    from recsys_assets.models.training_data import CatalogueSnapshot

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
        "recsys_assets.models.index.index",
        "recsys_assets.models.index.index_tuning",
        "recsys_assets.models.towers",
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

    from recsys_assets.models.index import index, index_kinds
    from recsys_assets.models.index.index_measure import recall_by_budget
    from recsys_assets.models.index.index_tuning import parameters_for
    from recsys_assets.models.towers import read_embeddings
    from recsys_assets.models.two_tower_training import SAMPLE_QUERIES

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


@dg.asset_check(
    asset="two_tower",
    blocking=True,
    description="Every weight of the model is a finite number.",
)
def two_tower_weights_are_finite(store: StoreResource) -> dg.AssetCheckResult:
    """Blocks embeddings that would be not a number."""
    metrics = _metrics(store, "two_tower")
    return dg.AssetCheckResult(passed=metrics["finite_weights"])


@dg.asset_check(
    asset="two_tower", description="The training loss of the last epoch is below the first's."
)
def two_tower_loss_decreased(store: StoreResource) -> dg.AssetCheckResult:
    """A loss that does not fall says that nothing was learned."""
    losses = [epoch["loss"] for epoch in _metrics(store, "two_tower")["epochs"]]
    return dg.AssetCheckResult(
        passed=losses[-1] < losses[0] or len(losses) == 1,
        metadata={"first": losses[0], "last": losses[-1]},
    )


@dg.asset_check(
    asset="item_embeddings",
    blocking=True,
    description="Every item embedding is finite and of unit length.",
)
def item_embeddings_are_sound(store: StoreResource) -> dg.AssetCheckResult:
    """Blocks an index of vectors that inner products cannot compare."""
    import numpy as np

    from recsys_assets.models.towers import read_embeddings

    embeddings, item_ids = read_embeddings(store.get().artifact("item_embeddings").fetch())
    lengths = np.linalg.norm(embeddings, axis=1)
    sound = np.isfinite(lengths) & (np.abs(lengths - 1) < 1e-3)
    return dg.AssetCheckResult(
        passed=bool(sound.all()) and len(embeddings) == len(item_ids),
        metadata={"items": len(item_ids), "unsound": int((~sound).sum())},
    )


@dg.asset_check(
    asset="item_index",
    blocking=True,
    description=f"The index finds at least {_LOWEST_RECALL:.0%} of the exact 100 nearest items.",
)
def item_index_finds_the_nearest(store: StoreResource) -> dg.AssetCheckResult:
    """Blocks an index that loses what the towers found."""
    folder = store.get().artifact("item_index").fetch()
    description = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    recall = float(description["recall_at_100"])
    return dg.AssetCheckResult(
        passed=recall >= _LOWEST_RECALL,
        metadata={"recall_at_100": recall, "kind": description["kind"]},
    )


def _metrics(store: StoreResource, artifact: str) -> dict[str, Any]:
    folder = store.get().artifact(artifact).fetch()
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics


@dg.asset(
    group_name="retrieval",
    owners=["team:ml"],
    kinds={"faiss"},
    code_version=code_version("recsys_assets.models.index.index_tuning"),
    deps=["item_embeddings", "two_tower"],
    config_schema=config_fields(Tuning),
    description=(
        "The cheapest vector index for this catalogue that meets a recall target within a memory "
        "limit. Flat, HNSW and lists of centroids, with whole, 8-bit and product-quantized "
        "vectors, are built and searched with the query embeddings of real households, one thread, "
        "in the environment that serves. `item_index` uses the choice if RECSYS_INDEX=auto."
    ),
)
def index_tuning(
    context: dg.AssetExecutionContext, store: StoreResource, models: ModelsEnvironment
) -> dg.MaterializeResult:
    """Measures in the models environment and publishes the artifact `index_tuning`."""
    from recsys_assets.defs.plots import Point, as_table, recall_over_latency
    from recsys_assets.terminal.figures import as_markdown

    started = time.monotonic()
    tuning = Tuning(**context.op_execution_context.op_config)
    version = models.run(
        context,
        "recsys_assets.models.index.index_tuning",
        {"store": store.url, "parameters": asdict(tuning)},
    )
    chosen, measured = read_tuning(store.get().artifact(ARTIFACT).fetch(version))
    points = [Point.of(one) for one in measured]
    best = Point.of(chosen)
    png = recall_over_latency([("catalogue", points)], tuning.recall_target, best)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "chosen": chosen.parameters.name,
            "effort": chosen.parameters.effort,
            "recall_at_100": chosen.recall_at_100,
            "recall_at_100_low": chosen.recall_low,
            "p50_ms": chosen.p50_ms,
            "p99_ms": chosen.p99_ms,
            "bytes": chosen.bytes,
            "configurations": len(measured),
            "plot": dg.MetadataValue.md(as_markdown(png, "recall over latency")),
            "table": dg.MetadataValue.md(as_table(points, best)),
            "parameters": dg.MetadataValue.json(asdict(tuning)),
            "seconds": round(time.monotonic() - started, 1),
            "version": version,
        },
    )
