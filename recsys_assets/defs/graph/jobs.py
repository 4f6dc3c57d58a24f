"""The jobs that go through several stages."""

import dagster as dg

from recsys_assets.defs.graph.monitoring.sensors import CORRECT_DAYS, CORRECTED, WORKS_ON_DAYS

# Everything from raw events to a release that answers, for a first start or a full rebuild.
initial_pipeline = dg.define_asset_job(
    "initial_pipeline",
    selection=(
        dg.AssetSelection.assets(
            "triton_model_repository", "seen_items", "online_features"
        ).upstream()
        | dg.AssetSelection.assets("promoted_release")
        | dg.AssetSelection.groups("events")
    )
    # Only RECSYS_INDEX=auto reads it; whoever sets that materializes it first.
    - dg.AssetSelection.assets("index_tuning"),
    description="Builds the recommender from raw events to a promoted release.",
)
# What a day that is over brings: its events and features, the online values made from them, the
# catalogue's new texts and pictures, what became of its answers, and how far it has drifted.
# Sensors take it from there.
daily_loop = dg.define_asset_job(
    "daily_loop",
    selection=dg.AssetSelection.assets(
        "online_refresh", "daily_examples", "item_text_embeddings", "item_image_embeddings"
    ).upstream()
    | dg.AssetSelection.groups("events", "monitoring"),
    tags=WORKS_ON_DAYS,
    description="Ingests a day, refreshes the online store, and measures traffic and drift.",
)
# What a day brings once more when its events are put right, or some of them come late.
correct_days = dg.define_asset_job(
    CORRECT_DAYS,
    selection=dg.AssetSelection.assets(*CORRECTED),
    tags=WORKS_ON_DAYS,
    description="Computes days again whose events have changed, with all days after them.",
)
