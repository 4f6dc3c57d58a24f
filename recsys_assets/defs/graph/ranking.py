"""The ranker as an asset, and its checks. Training is in `dlrm_training.py`."""

import json
from dataclasses import asdict
from typing import Any

import dagster as dg

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.configuration import config_fields
from recsys_assets.defs.pipes.pipes import ModelsEnvironment, current, train
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets.models.hyperparameters import DlrmParameters
from recsys_assets.terminal.figures import as_markdown


@dg.asset(
    group_name="ranking",
    owners=["team:ml"],
    kinds={"tensorflow", "python", "onnx"},
    code_version=code_version("recsys_assets.models.dlrm_training"),
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
    from recsys_assets.defs.plots import plot_calibration

    parameters = DlrmParameters(**context.op_execution_context.op_config)
    through = run_days.get().train_through.isoformat()
    extras = {
        "through": through,
        "parameters": asdict(parameters),
        "two_tower": current(store, "two_tower"),
    }
    trained = train(context, store, models, "recsys_assets.models.dlrm_training", extras)
    png = plot_calibration(trained.metrics["calibration"], "calibration, validation week")
    return trained.result(
        through,
        curves=("auc",),
        more={
            "validation_examples": trained.metrics["validation_examples"],
            "calibration": dg.MetadataValue.md(as_markdown(png, "calibration")),
        },
    )


@dg.asset_check(
    asset="dlrm", blocking=True, description="Every weight of the model is a finite number."
)
def dlrm_weights_are_finite(store: StoreResource) -> dg.AssetCheckResult:
    """Blocks scores that would be not a number."""
    return dg.AssetCheckResult(passed=_metrics(store)["finite_weights"])


@dg.asset_check(
    asset="dlrm",
    description=(
        "On the validation week the model tells purchases from negatives better than popularity "
        "over 28 days does (AUC)."
    ),
)
def dlrm_is_better_than_popularity(store: StoreResource) -> dg.AssetCheckResult:
    """Warns of a ranker that learned little.

    The log-odds are only a part of a score; what is served is measured, and gated, by the checks
    of `evaluation`.
    """
    figures = _metrics(store)["validation"]
    return dg.AssetCheckResult(
        passed=figures["auc"] > figures["popularity_auc"],
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"auc": figures["auc"], "popularity_auc": figures["popularity_auc"]},
    )


@dg.asset_check(
    asset="dlrm", description="The training loss of the last epoch is below the first's."
)
def dlrm_loss_decreased(store: StoreResource) -> dg.AssetCheckResult:
    """A loss that does not fall says that nothing was learned."""
    losses = [epoch["loss"] for epoch in _metrics(store)["epochs"]]
    return dg.AssetCheckResult(
        passed=losses[-1] < losses[0] or len(losses) == 1,
        metadata={"first": losses[0], "last": losses[-1]},
    )


def _metrics(store: StoreResource) -> dict[str, Any]:
    folder = store.get().artifact("dlrm").fetch()
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics
