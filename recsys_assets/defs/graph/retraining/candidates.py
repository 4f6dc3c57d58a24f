"""The release candidate as an asset: see `release_candidate.py`, and `gate.py` for the rules."""

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

import dagster as dg

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.graph.retraining.fine_tunes import (
    finetuned_dlrm,
    finetuned_query_tower,
    retrained_boosted_ranker,
    retrained_dlrm,
    retrained_two_tower,
)
from recsys_assets.defs.graph.serving.assets import online_refresh
from recsys_assets.defs.partitions import all_days_of, daily
from recsys_assets.defs.resources import StoreResource, VectorIndex
from recsys_assets.defs.retraining_resources import CandidateGate
from recsys_assets.defs.serving_resources import CANARY_POOL, ServingResource

if TYPE_CHECKING:
    from recsys_assets.retraining.release_candidate import CandidateInputs


class Models(Enum):
    """Which trained models a candidate is made of."""

    FINETUNED = "finetuned"
    RETRAINED = "retrained"


_ARTIFACTS = {
    Models.FINETUNED: {"two_tower": "finetuned_query_tower", "dlrm": "finetuned_dlrm"},
    Models.RETRAINED: {
        "two_tower": "retrained_two_tower",
        "dlrm": "retrained_dlrm",
        "boosted_ranker": "retrained_boosted_ranker",
    },
}


class CandidateConfig(dg.Config):
    """What the candidate is made of."""

    models: Models = Models.FINETUNED


def candidate_inputs(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    serving: ServingResource,
    vector_index: VectorIndex,
    gate: CandidateGate,
) -> "CandidateInputs":
    """What a run makes a release with."""
    from recsys_assets.retraining.release_candidate import CandidateInputs

    return CandidateInputs(
        store.get(),
        serving.canary(),
        serving.triton_grpc,
        serving.online_store_url,
        vector_index.kind,
        gate.rules(),
        gate.attribution_hours,
        context.run.run_id,
        context.run.tags.get("recsys/why", "started by hand"),
    )


@dg.asset(
    group_name="retraining",
    owners=["team:ml"],
    kinds={"python", "triton"},
    code_version=code_version("recsys_assets.retraining.release_candidate"),
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    pool=CANARY_POOL,
    deps=[
        finetuned_query_tower,
        finetuned_dlrm,
        retrained_two_tower,
        retrained_dlrm,
        retrained_boosted_ranker,
        online_refresh,
        # What it is judged on, and what it holds of the catalogue.
        *map(all_days_of, ("interactions", "item_features", "user_features")),
        "item_promotions",
        "item_text_embeddings",
        "items",
        "catalogue_history",
        "users",
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "canary_answers",
            asset="release_candidate",
            blocking=True,
            description="A temporary Triton, or the canary pods, serve the candidate: its answers "
            "are sound, and in time.",
        ),
        dg.AssetCheckSpec(
            "beats_live",
            asset="release_candidate",
            blocking=True,
            description="Weights better than the live ones over the same data on the newest "
            "labelled days, not worse than allowed on older ones, and above popularity, with "
            "intervals.",
        ),
    ],
    description=(
        "A release of fine-tuned or retrained models over the newest data. It is judged before it "
        "may be promoted, on days that it has not learned from; a rejected one is kept, with the "
        "reason."
    ),
)
def release_candidate(
    context: dg.AssetExecutionContext,
    config: CandidateConfig,
    store: StoreResource,
    serving: ServingResource,
    vector_index: VectorIndex,
    gate: CandidateGate,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Judges, renders and asks the candidate of the run's day."""
    from recsys_assets.releases.release import Releases
    from recsys_assets.retraining.release_candidate import make_candidate

    day = context.partition_key
    artifacts = {part: f"{name}/{day}" for part, name in _ARTIFACTS[config.models].items()}
    inputs = candidate_inputs(context, store, serving, vector_index, gate)
    made = make_candidate(inputs, day, artifacts, context.log.info)
    judged: dict[str, Any] = {
        "release": made.release,
        "reason": made.verdict.reason,
        "comparison": dg.MetadataValue.md(made.comparison_as_markdown()),
    }
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(str(made.release)),
        metadata={
            **judged,
            "base_release": made.base_release,
            "models": config.models.value,
            "url": dg.MetadataValue.path(f"{Releases(store.get()).url}/{made.release}"),
            "verdict": made.verdict.word,
            **made.figures(),
        },
    )
    yield dg.AssetCheckResult(
        check_name="canary_answers",
        passed=not made.faults,
        metadata={"release": made.release, "faults": list(made.faults), **made.latency},
    )
    yield dg.AssetCheckResult(check_name="beats_live", passed=made.verdict.better, metadata=judged)
