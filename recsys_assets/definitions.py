"""The asset graph on one page. `build_definitions` is the only place that assembles it."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from recsys_assets.defs import content as content_assets
from recsys_assets.defs import content as content_checks
from recsys_assets.defs import evaluation as evaluation_assets
from recsys_assets.defs import evaluation as evaluation_checks
from recsys_assets.defs import ranking as ranking_assets
from recsys_assets.defs import ranking as ranking_checks
from recsys_assets.defs import retrieval
from recsys_assets.defs import retrieval as retrieval_assets
from recsys_assets.defs import retrieval as retrieval_checks
from recsys_assets.defs.deployment import table
from recsys_assets.defs.deployment.steps import work_by_step
from recsys_assets.defs.events import assets as events_assets
from recsys_assets.defs.events import checks as events_checks
from recsys_assets.defs.features import assets as features_assets
from recsys_assets.defs.features import checks as features_checks
from recsys_assets.defs.features import examples
from recsys_assets.defs.monitoring import assets as monitoring_assets
from recsys_assets.defs.monitoring.jobs import drain_answers, late_answers
from recsys_assets.defs.monitoring.sensors import (
    CORRECT_DAYS,
    CORRECTED,
    WORKS_ON_DAYS,
    answers_sensor,
    late_answers_sensor,
)
from recsys_assets.defs.retraining import candidates, refreshes
from recsys_assets.defs.retraining import fine_tunes as retraining_assets
from recsys_assets.defs.retraining.jobs import (
    fine_tune,
    full_retrain,
    refresh_release,
    rollback_release,
)
from recsys_assets.defs.retraining.sensors import SENSORS
from recsys_assets.defs.runs.progress import progress_logger
from recsys_assets.defs.serving import assets as serving_assets
from recsys_assets.defs.serving import checks as serving_checks
from recsys_assets.defs.serving.jobs import retention, retention_schedule
from recsys_assets.settings import Settings, load_settings

ASSET_MODULES = (
    events_assets,
    features_assets,
    examples,
    content_assets,
    retrieval_assets,
    retrieval,
    ranking_assets,
    evaluation_assets,
    serving_assets,
    monitoring_assets,
    retraining_assets,
    candidates,
    refreshes,
)
CHECK_MODULES = (
    events_checks,
    features_checks,
    content_checks,
    retrieval_checks,
    ranking_checks,
    evaluation_checks,
    serving_checks,
)

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
# catalogue's new texts, what became of its answers, and how far it has drifted. Sensors take it
# from there.
daily_loop = dg.define_asset_job(
    "daily_loop",
    selection=dg.AssetSelection.assets(
        "online_refresh", "daily_examples", "item_text_embeddings"
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


def build_definitions(
    settings: Settings, resources: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """The whole graph for the deployment of the settings; `resources` replaces single entries."""
    assets = [*dg.load_assets_from_modules(ASSET_MODULES)]
    checks = [*dg.load_asset_checks_from_modules(CHECK_MODULES)]
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=[
            initial_pipeline,
            daily_loop,
            refresh_release,
            correct_days,
            fine_tune,
            full_retrain,
            rollback_release,
            retention,
            drain_answers,
            late_answers,
        ],
        schedules=[retention_schedule],
        sensors=[*SENSORS, answers_sensor, late_answers_sensor],
        resources={**table.resources(settings), **(resources or {})},
        executor=table.executor(settings, work_by_step([*assets, *checks])),
        loggers={"console": progress_logger},
    )


defs = build_definitions(load_settings())
