"""Checks of content assets."""

import dagster as dg

from recsys_assets.resources import StoreResource


@dg.asset_check(
    asset="item_text_embeddings",
    blocking=True,
    description="Every item has one embedding; every vector is finite and of unit norm. Items that "
    "were catalogued or withdrawn meanwhile are told of and stop nothing.",
)
def item_text_embeddings_are_sound(store: StoreResource) -> dg.AssetCheckResult:
    """Blocks training on vectors that would poison it."""
    from dataclasses import asdict

    from recsys_assets.content.catalogue import embedding_faults

    faults = embedding_faults(store.get())
    severity = dg.AssetCheckSeverity.ERROR if faults.poison else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(passed=not faults.any, severity=severity, metadata=asdict(faults))
