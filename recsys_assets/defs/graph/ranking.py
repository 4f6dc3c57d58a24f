"""The rankers as assets, with their checks.

Training is in `dlrm_training.py`, and of the candidates' own ranker in `ranker_training.py`.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg

from recsys_assets.candidates.boosted_ranker import Boosting
from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.configuration import config_fields
from recsys_assets.defs.pipes.pipes import ModelsEnvironment, current, train
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets.models.hyperparameters import DlrmParameters
from recsys_assets.settings.days import days_between
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


@dg.asset(
    group_name="ranking",
    owners=["team:ml"],
    kinds={"python", "lightgbm"},
    code_version=code_version("recsys_assets.evaluation.ranker_training"),
    deps=["interactions", "items", "item_promotions"],
    config_schema=config_fields(Boosting),
    description=(
        "Boosted trees that rank the united candidates of every source ahead, as the sources of "
        "past weeks brought them, by what was bought of them. The weights last: a refresh ranks "
        "the candidates of the day with them. Without enough history there are no trees, and "
        "customers are answered from the index alone."
    ),
)
def boosted_ranker(
    context: dg.AssetExecutionContext, store: StoreResource, run_days: RunDays
) -> dg.MaterializeResult:
    """Trains on the weeks before the evaluated days, and publishes `boosted_ranker`."""
    days = run_days.get()
    boosting = Boosting(**context.op_execution_context.op_config)
    learned = days_between(days.first_day, days.train_through)
    return publish_ranker(context, store, "boosted_ranker", learned, boosting)


def publish_ranker(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    artifact: str,
    days: Sequence[str],
    boosting: Boosting,
) -> dg.MaterializeResult:
    """Trains the ranker of candidates on days, and publishes it as an artifact."""
    from recsys_assets.evaluation.ranker_training import train

    started = time.monotonic()
    trained = train(store.get(), days, boosting, context.log.info)
    with store.get().artifact(artifact).new_version() as draft:
        trained.save(draft.path)
    figures = trained.figures
    return dg.MaterializeResult(
        data_version=dg.DataVersion(draft.version),
        metadata={
            **{name: value for name, value in figures.items() if isinstance(value, int | str)},
            "weeks": dg.MetadataValue.json(figures["weeks"]),
            "inputs_that_matter": dg.MetadataValue.md(_gains_as_markdown(figures.get("gains", {}))),
            "seconds": time.monotonic() - started,
            "version": draft.version,
        },
    )


def _gains_as_markdown(gains: Mapping[str, float]) -> str:
    """How much each input lowered the loss, as a share of all."""
    rows = [f"| {name} | {share:.1%} |" for name, share in gains.items()]
    return "\n".join(["| input | share of gain |", "|---|---:|", *rows])


@dg.asset_check(
    asset="boosted_ranker",
    description="History was long enough for trees: known customers get united candidates.",
)
def boosted_ranker_has_trees(store: StoreResource) -> dg.AssetCheckResult:
    """Warns of a release that answers from the index alone."""
    folder = store.get().artifact("boosted_ranker").fetch()
    figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return dg.AssetCheckResult(
        passed=figures["trees"] > 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "trees": figures["trees"],
            "bought_candidates": figures["bought_candidates"],
            "weeks": len(figures["weeks"]),
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
