"""Ranking assets. Wiring only; training is in `train.py`."""

import json
import time
from dataclasses import asdict

import dagster as dg

from recsys_assets.ranking.hyperparameters import DlrmParameters
from recsys_assets.resources import StoreResource
from recsys_assets.retrieval.configuration import config_fields
from recsys_assets.retrieval.pipes import ModelsEnvironment
from recsys_assets.retrieval.resources import TrainingSpan


@dg.asset(
    group_name="ranking",
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
        "item_promotions",
        "two_tower",
    ],
    config_schema=config_fields(DlrmParameters),
    description=(
        "DLRM (Merlin) over user, item, context and text embedding, trained on first-time "
        "purchases against popularity-aware negatives drawn anew in every pass. AUC, log loss "
        "and calibration are of the validation week, with the same negatives in every training."
    ),
)
def dlrm(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    models: ModelsEnvironment,
    training_span: TrainingSpan,
) -> dg.MaterializeResult:
    """Trains in the models environment and publishes the artifact `dlrm`."""
    from recsys_assets.ranking.plots import calibration_plot
    from recsys_assets.retrieval.plots import learning_curves

    started = time.monotonic()
    version = models.run(
        context,
        "recsys_assets.ranking.train",
        {
            "store": store.url,
            "through": training_span.through,
            "parameters": asdict(DlrmParameters(**context.op_execution_context.op_config)),
        },
    )
    folder = store.get().artifact("dlrm").fetch(version)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            **metrics["validation"],
            "validation_examples": metrics["validation_examples"],
            "training_purchases": metrics["examples"],
            "trained_through": training_span.through,
            "learning_curves": dg.MetadataValue.md(learning_curves(metrics["epochs"], ("auc",))),
            "calibration": dg.MetadataValue.md(calibration_plot(metrics["calibration"])),
            "epochs": dg.MetadataValue.json(metrics["epochs"]),
            "parameters": dg.MetadataValue.json(metrics["parameters"]),
            "onnx_difference": metrics["onnx_difference"],
            "peak_memory_gib": metrics["peak_memory_gib"],
            "seconds": round(time.monotonic() - started, 1),
            "version": version,
        },
    )
