"""Checks of retrieval assets."""

import json
from typing import Any

import dagster as dg

from recsys_assets.resources import StoreResource

_LOWEST_RECALL = 0.98


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

    from recsys_assets.retrieval.item_tower import read_embeddings

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
