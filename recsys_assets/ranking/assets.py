"""Ranking assets. Wiring only; training is in `train.py`."""

from dataclasses import asdict

import dagster as dg

from recsys_assets.code_version import code_version
from recsys_assets.ranking.hyperparameters import DlrmParameters
from recsys_assets.resources import RunDays, StoreResource
from recsys_assets.retrieval.configuration import config_fields
from recsys_assets.retrieval.pipes import ModelsEnvironment, train


@dg.asset(
    group_name="ranking",
    owners=["team:ml"],
    kinds={"tensorflow", "python", "onnx"},
    code_version=code_version("recsys_assets.ranking.train"),
    deps=[
        "training_examples",
        "interactions",
        "item_features",
        "item_text_embeddings",
        "items",
        "catalogue_history",
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
    run_days: RunDays,
) -> dg.MaterializeResult:
    """Trains in the models environment and publishes the artifact `dlrm`."""
    from recsys_assets.ranking.plots import calibration_plot

    parameters = DlrmParameters(**context.op_execution_context.op_config)
    through = run_days.get().train_through.isoformat()
    extras = {"through": through, "parameters": asdict(parameters)}
    trained = train(context, store, models, "recsys_assets.ranking.train", extras)
    return trained.result(
        through,
        curves=("auc",),
        more={
            "validation_examples": trained.metrics["validation_examples"],
            "calibration": dg.MetadataValue.md(calibration_plot(trained.metrics["calibration"])),
        },
    )
