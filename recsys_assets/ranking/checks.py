"""Checks of the ranker."""

import json
from typing import Any

import dagster as dg

from recsys_assets.resources import StoreResource


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
