"""Checks of serving assets. Wiring only: see `canary.py`."""

from itertools import islice

import dagster as dg

from recsys_assets.defs.graph.serving.assets import triton_model_repository
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets.defs.serving_resources import CANARY_POOL, ServingResource

_KNOWN_USERS = 5


@dg.asset_check(
    asset=triton_model_repository,
    blocking=True,
    pool=CANARY_POOL,
    additional_deps=["seen_items", "online_features"],
    description=(
        "A temporary Triton, or the canary pods of a cluster, serve the new release and answer "
        "known, unknown and anonymous users: right shape, release number, finite scores, nothing "
        "bought before, not degraded; absurd k refused. Only a release that passes can be promoted."
    ),
)
def canary_answers(
    store: StoreResource, serving: ServingResource, run_days: RunDays
) -> dg.AssetCheckResult:
    """Asks the newest release of initial models before anybody else does."""
    from recsys_assets.defs.graph.serving.assets import findings_as_markdown
    from recsys_assets.events.purchases import purchased_items
    from recsys_assets.models.item_history import midnight_after
    from recsys_assets.pipeline.item_changes import off_sale_items
    from recsys_assets.releases.release import Releases
    from recsys_assets.rollout.canary import canaries, check_release

    releases = Releases(store.get())
    release = releases.latest_initial()
    through = run_days.get().history_through.isoformat()
    purchased = purchased_items(store.get(), through)
    report = check_release(
        releases,
        release,
        serving.canary(),
        canaries(dict(islice(purchased.items(), _KNOWN_USERS))),
        midnight_after(through),  # the first moment that the release can answer for
        off_sale_items(serving.online_store_url),
    )
    if not report.faulty:
        releases.approve(release)
    return dg.AssetCheckResult(
        passed=not report.faulty,
        metadata={
            "release": release,
            "requests": len(report.findings),
            "faulty": len(report.faulty),
            **report.latency,
            "findings": dg.MetadataValue.md(findings_as_markdown(report.findings)),
        },
    )
