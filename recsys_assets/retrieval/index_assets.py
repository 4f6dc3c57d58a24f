"""The tuning of the vector index as an asset. Wiring only: see `index_tuning.py`."""

import time
from dataclasses import asdict

import dagster as dg

from recsys_assets.code_version import code_version
from recsys_assets.resources import StoreResource
from recsys_assets.retrieval.configuration import config_fields
from recsys_assets.retrieval.index_tuning import ARTIFACT, Tuning, read_tuning
from recsys_assets.retrieval.pipes import ModelsEnvironment


@dg.asset(
    group_name="retrieval",
    owners=["team:ml"],
    kinds={"faiss"},
    code_version=code_version("recsys_assets.retrieval.tune_index"),
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
    from recsys_assets.figures import as_markdown
    from recsys_assets.retrieval.index_plots import Point, as_table, recall_over_latency

    started = time.monotonic()
    tuning = Tuning(**context.op_execution_context.op_config)
    version = models.run(
        context,
        "recsys_assets.retrieval.tune_index",
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
