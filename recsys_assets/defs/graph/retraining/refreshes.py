"""The refresh of the live release as an asset. Wiring only: see `refreshing.py`."""

from collections.abc import Iterator

import dagster as dg

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.graph.retraining.candidates import candidate_inputs
from recsys_assets.defs.graph.retraining.past_runs import REFRESHED
from recsys_assets.defs.graph.serving.assets import online_refresh
from recsys_assets.defs.partitions import all_days_of, daily
from recsys_assets.defs.resources import StoreResource, VectorIndex
from recsys_assets.defs.retraining_resources import CandidateGate
from recsys_assets.defs.serving_resources import CANARY_POOL, ServingResource


@dg.multi_asset(
    name="refreshed_release",
    specs=[
        dg.AssetSpec(
            REFRESHED,
            group_name="retraining",
            owners=["team:ml"],
            kinds={"python", "triton"},
            code_version=code_version("recsys_assets.retraining.refreshing"),
            deps=[
                online_refresh,
                # What it holds, and what fresh data are judged on.
                *map(all_days_of, ("interactions", "item_features", "user_features")),
                "item_promotions",
                "item_text_embeddings",
                "items",
                "catalogue_history",
                "users",
            ],
            description=(
                "A release of the live weights over the newest data: catalogue, activity, "
                "promotions and purchases of the day go live without training. Left out, with "
                "the reason, where the live release holds them already."
            ),
            skippable=True,
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "canary_answers",
            asset=REFRESHED,
            blocking=True,
            description="A temporary Triton, or the canary pods, serve the refresh: its answers "
            "are sound, and in time.",
        ),
        dg.AssetCheckSpec(
            "keeps_what_live_knows",
            asset=REFRESHED,
            blocking=True,
            description="Few of the live release's items are gone, and where fresh data could be "
            "judged on days that are known by now, they did not lose.",
        ),
    ],
    can_subset=True,  # so that checks may be left out together with the asset
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    pool=CANARY_POOL,
)
def refreshed_release(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    serving: ServingResource,
    vector_index: VectorIndex,
    gate: CandidateGate,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult | dg.AssetObservation]:
    """Renders and asks the refresh of the run's day, if the day is news to the live release."""
    from recsys_assets.releases.release import Releases
    from recsys_assets.retraining.gate import nothing_newer
    from recsys_assets.retraining.refreshing import make_refresh
    from recsys_assets.retraining.release_candidate import live_release

    releases, day = Releases(store.get()), context.partition_key
    reason = nothing_newer(releases, live_release(releases), day)
    if reason:
        context.log.info(f"skipped: {reason}")
        yield dg.AssetObservation(REFRESHED, partition=day, metadata={"skipped": reason})
        return
    inputs = candidate_inputs(context, store, serving, vector_index, gate)
    made = make_refresh(inputs, day, context.log.info)
    yield dg.MaterializeResult(
        asset_key=REFRESHED,
        data_version=dg.DataVersion(str(made.release)),
        metadata={
            "release": made.release,
            "base_release": made.base_release,
            "weights_release": made.weights_release,
            "data_through": day,
            "verdict": made.verdict.word,
            "data_alone": dg.MetadataValue.md(made.gain_as_markdown()),
            "url": dg.MetadataValue.path(f"{releases.url}/{made.release}"),
            **made.figures(),
        },
    )
    yield dg.AssetCheckResult(
        check_name="canary_answers",
        asset_key=REFRESHED,
        passed=not made.faults,
        metadata={"release": made.release, "faults": list(made.faults), **made.latency},
    )
    yield dg.AssetCheckResult(
        check_name="keeps_what_live_knows",
        asset_key=REFRESHED,
        passed=made.verdict.better,
        metadata={"release": made.release, "reason": made.verdict.reason},
    )
