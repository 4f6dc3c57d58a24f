"""Jobs that replace the live release. What starts them is in `sensors.py`."""

import dagster as dg

from recsys_assets.defs.graph.retraining.candidates import Models
from recsys_assets.defs.graph.retraining.past_runs import TRAINS
from recsys_assets.defs.resources import StoreResource
from recsys_assets.defs.serving_resources import ServingResource

# The catalogue may hold texts that are newer than their embeddings.
_FOLLOW_CATALOGUE = ("item_text_embeddings",)
_LIVE = "promoted_release"
_PROMOTE = ("release_candidate", _LIVE)

fine_tune = dg.define_asset_job(
    "fine_tune",
    selection=dg.AssetSelection.assets(
        *_FOLLOW_CATALOGUE, "finetuned_query_tower", "finetuned_dlrm", *_PROMOTE
    ),
    tags=TRAINS,
    description="Trains the live models on over recent days, and promotes them if they are better.",
)
full_retrain = dg.define_asset_job(
    "full_retrain",
    selection=dg.AssetSelection.assets(
        *_FOLLOW_CATALOGUE,
        "retrained_two_tower",
        "retrained_dlrm",
        "retrained_boosted_ranker",
        *_PROMOTE,
    ),
    config={"ops": {"release_candidate": {"config": {"models": Models.RETRAINED.name}}}},
    tags=TRAINS,
    description="Trains everything from scratch, and promotes it if it is better.",
)
refresh_release = dg.define_asset_job(
    "refresh_release",
    selection=dg.AssetSelection.assets(*_FOLLOW_CATALOGUE, "refreshed_release", _LIVE),
    description="Puts the live weights over the day's data, and promotes that: no training.",
)


class Rollback(dg.Config):
    """Why to go back, and from the weights of which release: others that are live by then stay."""

    reason: str
    expected_release: int


@dg.op(description="Goes back to the last release of other weights than the live ones.")
def rollback(
    context: dg.OpExecutionContext,
    config: Rollback,
    store: StoreResource,
    serving: ServingResource,
) -> None:
    """Switches back and reports it as an event of `promoted_release`."""
    from recsys_assets.defs.runs.lineage_events import report_changes
    from recsys_assets.releases.release import Reason, Releases
    from recsys_assets.rollout import promotion

    releases = Releases(store.get())
    reason = Reason(config.reason, f"run {context.run_id}")
    server = serving.live_server(context.log.info)
    promotion.rollback(releases, server, reason, config.expected_release, weights=True)
    report_changes(context.instance, releases)


@dg.job(description="Goes back to the weights before the live ones, at once.")
def rollback_release() -> None:
    """One step."""
    rollback()
