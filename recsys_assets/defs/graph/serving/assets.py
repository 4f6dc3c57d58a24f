"""Assets of releases: see `seen_items.py`, `rendering.py` and `promotion.py`."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.graph.features.assets import ONLINE_STORE_POOL, deployment
from recsys_assets.defs.partitions import all_days_of, daily
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets.defs.serving_resources import ServingResource
from recsys_assets.features.attributes import ATTRIBUTE_TABLES
from recsys_assets.features.declarations import DAILY_FEATURE_SETS, ITEM_PROMOTIONS
from recsys_assets.models.index.index_kinds import CANDIDATES, ENOUGH, RANKED
from recsys_assets.pipeline.diversity import Diversity, Sampling
from recsys_assets.pipeline.rank import POPULARITY_DISCOUNT, RANKER_WEIGHT
from recsys_assets.rollout.canary import Finding

_OWNERS = ["team:serving"]
_DIGEST_SHOWN = 12


class ServingParameters(dg.Config):
    """How candidates are found and arranged; each release carries its own values."""

    candidates: int = Field(CANDIDATES, description="items that the index is asked for")
    enough_candidates: int = Field(
        ENOUGH, description="are left without what was seen or sold out, or the search goes deeper"
    )
    ranked_candidates: int = Field(RANKED, description="candidates that DLRM scores")
    diversity_trade_off: float = Field(
        0.7,
        description="weight of relevance: 1 keeps the order of scores, 0 looks at novelty alone",
    )
    diversity_pool: int = Field(50, description="best candidates that are re-ranked for diversity")
    sampling_temperature: float = Field(
        0.0, description="of scores that slates are sampled by; 0 is off"
    )
    sampling_seed: int = Field(0, description="of those samples")
    embeddings: str = Field("fp32", description="precision of embeddings: fp32, fp16 or int8")
    dense_layers: str = Field("fp32", description="precision of DLRM's layers: fp32 or int8")
    ranker_weight: float = Field(
        RANKER_WEIGHT, description="of DLRM's log-odds beside those of candidates ranked ahead"
    )
    popularity_discount: float = Field(
        POPULARITY_DISCOUNT,
        description="times ln(1 + sales in 28 days) is taken off candidates ranked ahead; 0 is off",
    )
    exploration_share: float = Field(
        0.0, description="of a slate's places, the last, are drawn by logged propensities; 0 is off"
    )
    exploration_seed: int = Field(0, description="of those draws")


class Promotion(dg.Config):
    """Which release to promote (the newest one unless given), and why.

    After the switch the release is watched for some seconds, and taken back if it fails.
    """

    release: int | None = None
    cause: str = "promoted_release was materialized"
    watched_seconds: float = 5.0


@dg.asset(
    group_name="serving",
    owners=_OWNERS,
    kinds={"python", "redis"},
    code_version=code_version(
        "recsys_assets.events.purchases",
        "recsys_assets.features.online_refresh",
        "recsys_assets.pipeline.seen_items",
    ),
    pool=ONLINE_STORE_POOL,
    deps=["interactions"],
    description=(
        "Bloom filters in the online store, one per user, over the items bought up to the last "
        "day of history, or the later one that the store has reached. A bought item is never "
        "recommended again; 1 % of the others are left out by mistake."
    ),
)
def seen_items(
    store: StoreResource, serving: ServingResource, run_days: RunDays
) -> dg.MaterializeResult:
    """Fills the filters from the interaction history."""
    from recsys_assets.events.purchases import purchased_items
    from recsys_assets.features.online_refresh import known_through

    through = known_through(serving.online_store_url, run_days.get().history_through.isoformat())
    history = purchased_items(store.get(), through)
    started = time.monotonic()
    filters = serving.seen_items()
    filters.replace_all(history)
    seconds = time.monotonic() - started
    return dg.MaterializeResult(
        metadata={
            "users": len(history),
            "pairs": sum(map(len, history.values())),
            "most_items_of_a_user": max(map(len, history.values()), default=0),
            "history_through": through,
            **{f"filter_{name}": value for name, value in asdict(filters.settings).items()},
            **{f"sampled_{name}": value for name, value in asdict(filters.info()).items()},
            "seconds": seconds,
        }
    )


@dg.asset(
    group_name="serving",
    owners=_OWNERS,
    kinds={"feast", "valkey"},
    code_version=code_version(
        "recsys_assets.events.purchases",
        "recsys_assets.features.online_refresh",
        "recsys_assets.pipeline.seen_items",
    ),
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=ONLINE_STORE_POOL,
    deps=[
        all_days_of("interactions"),
        "feature_registry",
        *ATTRIBUTE_TABLES,
        ITEM_PROMOTIONS.name,
        *(all_days_of(features.name) for features in DAILY_FEATURE_SETS),
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "offline_equals_online",
            asset="online_refresh",
            description="All features of some users and items: what the point-in-time join gives "
            "as of the moment that the store has reached equals what is served.",
        )
    ],
    description=(
        "The online store brought to the end of a day: feature values by Feast, and the day's "
        "purchases in the filters of seen items. Never goes back: of a day that the store has "
        "passed it takes what has been computed again since."
    ),
)
def online_refresh(
    context: dg.AssetExecutionContext, store: StoreResource, serving: ServingResource
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Sends the snapshots of the run's days and adds their purchases."""
    from recsys_assets.events.purchases import purchased_on
    from recsys_assets.features.online_refresh import refresh, unsent_days

    days = sorted(context.partition_keys)
    settings = deployment(store)
    bought = purchased_on(store.get(), unsent_days(store.get(), serving.online_store_url, days))
    serving.seen_items().add(bought)
    sent = refresh(settings, store.get(), date.fromisoformat(days[-1]))
    yield dg.MaterializeResult(
        metadata={
            "users_who_bought": len(bought),
            "as_of": dg.MetadataValue.timestamp(sent.as_of),
            "all_of_history_sent": sent.complete,
            "seconds": round(sent.seconds, 1),
        }
    )
    figures = {"compared": sent.parity.compared, "different": sent.parity.different}
    yield dg.AssetCheckResult(
        passed=sent.parity.different == 0 and sent.parity.compared > 0,
        check_name="offline_equals_online",
        metadata={**figures, "examples": sent.parity.examples},
    )


@dg.asset(
    group_name="serving",
    owners=_OWNERS,
    kinds={"python", "triton"},
    code_version=code_version("recsys_assets.releases.rendering", "triton_repo.pipeline.model"),
    deps=[
        "two_tower",
        "item_embeddings",
        "item_index",
        "dlrm",
        "boosted_ranker",
        "items",
        "catalogue_history",
        "users",
        "item_features",
        "item_promotions",
        "item_text_embeddings",
        "interactions",
        "evaluation",  # its checks block a release of models that are no better than popularity
    ],
    description=(
        "A release: one number over query tower, item embeddings, index, ranker, vocabularies "
        "and item features, rendered as a Triton model repository. Not served before it is "
        "promoted, and never changed."
    ),
)
def triton_model_repository(
    context: dg.AssetExecutionContext,
    config: ServingParameters,
    store: StoreResource,
    run_days: RunDays,
) -> dg.MaterializeResult:
    """Renders the next release from the current artifacts."""
    from recsys_assets.pipeline.exploration import Exploration
    from recsys_assets.pipeline.retrieve import Depth
    from recsys_assets.releases.quantization import Precision
    from recsys_assets.releases.release import Releases
    from recsys_assets.releases.rendering import Origin, ReleaseParts, render
    from recsys_assets.releases.serving_config import ServingConfig

    releases, days = Releases(store.get()), run_days.get()
    parameters = ServingConfig(
        depth=Depth(config.candidates, config.enough_candidates, config.ranked_candidates),
        diversity=Diversity(config.diversity_trade_off, config.diversity_pool),
        sampling=Sampling(config.sampling_temperature, config.sampling_seed),
        precision=Precision.of(config.embeddings, config.dense_layers),
        ranker_weight=config.ranker_weight,
        popularity_discount=config.popularity_discount,
        exploration=Exploration(config.exploration_share, config.exploration_seed),
    )
    release = render(
        releases,
        ReleaseParts.current(store.get()),
        days.history_through.isoformat(),
        Origin(trained_through=days.train_through.isoformat(), run_id=context.run.run_id),
        parameters,
    )
    manifest = releases.manifest(release)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(release)),
        metadata={
            "release": release,
            "artifacts": dg.MetadataValue.json(manifest["artifacts"]),
            "vocabularies": dg.MetadataValue.json(manifest["vocabularies"]),
            "trained_through": manifest["trained_through"],
            "item_features_day": manifest["item_features_day"],
            "precision": dg.MetadataValue.json(manifest["precision"]),
            "bytes_by_precision": dg.MetadataValue.json(manifest["bytes_by_precision"]),
            "megabytes": sum(file["bytes"] for file in manifest["files"].values()) / 1e6,
            "files": dg.MetadataValue.md(files_as_markdown(manifest)),
            "url": dg.MetadataValue.path(f"{releases.url}/{release}"),
        },
    )


@dg.asset(
    group_name="serving",
    owners=_OWNERS,
    kinds={"python", "triton"},
    code_version=code_version("recsys_assets.rollout.guard", "recsys_assets.rollout.promotion"),
    deps=[
        triton_model_repository,
        seen_items,
        "online_features",
        "release_candidate",
        "refreshed_release",
    ],
    description=(
        "The release that Triton answers with. Promotion switches all stages in one step without "
        "a failed request; the release before stays loaded for a rollback."
    ),
)
def promoted_release(
    context: dg.AssetExecutionContext,
    config: Promotion,
    store: StoreResource,
    serving: ServingResource,
) -> dg.MaterializeResult:
    """Promotes a release that has passed its checks."""
    from recsys_assets.defs.runs.lineage_events import report_changes
    from recsys_assets.releases.release import Reason, Releases
    from recsys_assets.rollout.guard import Guard, known_users
    from recsys_assets.rollout.promotion import (
        GuardTripped,
        promote_approved,
        require_judged_against_live,
    )

    started = time.monotonic()
    releases = Releases(store.get())
    reason = Reason(context.run.tags.get("recsys/why", config.cause), f"run {context.run.run_id}")
    guard = Guard(config.watched_seconds, known_users(store.get()), serving.online_store_url)
    try:
        release = config.release
        if release is None:
            # A run that is tried again goes on with what its first try has made.
            release = releases.made_by(context.run.run_id, context.run.root_run_id)
            if release is not None:
                require_judged_against_live(releases, release)
        server = serving.live_server(context.log.info)
        promoted = promote_approved(releases, server, release, reason, guard)
    except GuardTripped:
        report_changes(context.instance, releases)  # it was live for a moment
        raise
    report_changes(context.instance, releases, before=promoted.number)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(promoted.release)),
        metadata={
            **promoted.as_metadata(),
            "seconds": time.monotonic() - started,
            "triton": serving.triton_grpc,
        },
    )


def files_as_markdown(manifest: dict[str, Any]) -> str:
    """The files of a release with size and the beginning of their SHA-256."""
    lines = ["| file | kB | sha256 |", "|---|---:|---|"]
    lines += [
        f"| {name} | {file['bytes'] / 1000:,.1f} | `{file['sha256'][:_DIGEST_SHOWN]}` |"
        for name, file in manifest["files"].items()
    ]
    return "\n".join(lines)


def findings_as_markdown(findings: Sequence[Finding]) -> str:
    """What was asked, and what was wrong with the answer."""
    lines = ["| user | k | faults |", "|---|---:|---|"]
    lines += [
        f"| {finding.user_id or '(anonymous)'} | {finding.k} | {'; '.join(finding.faults)} |"
        for finding in findings
    ]
    return "\n".join(lines)
