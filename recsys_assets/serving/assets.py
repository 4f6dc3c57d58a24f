"""Serving assets. Wiring only: see `seen_items.py`, `rendering.py` and `promotion.py`."""

import time

import dagster as dg

from recsys_assets.resources import StoreResource
from recsys_assets.retrieval.candidates import CANDIDATES
from recsys_assets.serving.diversity import Diversity, Sampling
from recsys_assets.serving.resources import ServingResource

_OWNERS = ["team:serving"]


class ServingParameters(dg.Config):
    """How candidates are found and arranged; each release carries its own values."""

    candidates: int = CANDIDATES
    enough_candidates: int = 100
    diversity_trade_off: float = 0.8
    diversity_pool: int = 50
    sampling_temperature: float = 0.0
    sampling_seed: int = 0


class Promotion(dg.Config):
    """Which release to promote: the newest one unless given."""

    release: int | None = None


@dg.asset(
    group_name="serving",
    owners=_OWNERS,
    kinds={"python", "redis"},
    code_version="1",
    deps=["interactions"],
    description=(
        "Bloom filters in the online store, one per user, over the items bought up to the last "
        "day of history. A bought item is never recommended again; 1 % of the others are left "
        "out by mistake."
    ),
)
def seen_items(store: StoreResource, serving: ServingResource) -> dg.MaterializeResult:
    """Fills the filters from the interaction history."""
    from recsys_assets.serving.circuit import connect_for_bulk
    from recsys_assets.serving.history import purchased_items
    from recsys_assets.serving.seen_items import ERROR_RATE, MIN_CAPACITY, SeenItems

    history = purchased_items(store.get(), serving.history_through)
    started = time.monotonic()
    SeenItems(connect_for_bulk(serving.online_store_url)).replace_all(history)
    return dg.MaterializeResult(
        metadata={
            "users": len(history),
            "pairs": sum(map(len, history.values())),
            "most_items_of_a_user": max(map(len, history.values()), default=0),
            "history_through": serving.history_through,
            "error_rate": ERROR_RATE,
            "least_capacity": MIN_CAPACITY,
            "seconds": time.monotonic() - started,
        }
    )


@dg.asset(
    group_name="serving",
    owners=_OWNERS,
    kinds={"python", "triton"},
    code_version="1",
    deps=[
        "two_tower",
        "item_embeddings",
        "item_index",
        "dlrm",
        "items",
        "item_features",
        "item_promotions",
        "item_text_embeddings",
        "evaluation",  # its checks block a release of models that are no better than popularity
    ],
    description=(
        "A release: one number over query tower, item embeddings, index, ranker, vocabularies "
        "and item features, rendered as a Triton model repository. Not served before it is "
        "promoted, and never changed."
    ),
)
def triton_model_repository(
    config: ServingParameters, store: StoreResource, serving: ServingResource
) -> dg.MaterializeResult:
    """Renders the next release from the current artifacts."""
    from recsys_assets.serving.release import Releases
    from recsys_assets.serving.rendering import ServingConfig, render
    from recsys_assets.serving.summary import files_as_markdown

    releases = Releases(store.get())
    parameters = ServingConfig(
        candidates=config.candidates,
        enough=config.enough_candidates,
        diversity=Diversity(config.diversity_trade_off, config.diversity_pool),
        sampling=Sampling(config.sampling_temperature, config.sampling_seed),
    )
    release = render(releases, serving.history_through, parameters)
    manifest = releases.manifest(release)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(release)),
        metadata={
            "release": release,
            "artifacts": dg.MetadataValue.json(manifest["artifacts"]),
            "vocabularies": dg.MetadataValue.json(manifest["vocabularies"]),
            "item_features_day": manifest["item_features_day"],
            "megabytes": sum(file["bytes"] for file in manifest["files"].values()) / 1e6,
            "files": dg.MetadataValue.md(files_as_markdown(manifest)),
            "url": dg.MetadataValue.path(f"{releases.url}/{release}"),
        },
    )


@dg.asset(
    group_name="serving",
    owners=_OWNERS,
    kinds={"python", "triton"},
    code_version="1",
    deps=[triton_model_repository, seen_items, "online_features"],
    description=(
        "The release that Triton answers with. Promotion switches all stages in one step without "
        "a failed request; the release before stays loaded for a rollback."
    ),
)
def promoted_release(
    config: Promotion, store: StoreResource, serving: ServingResource
) -> dg.MaterializeResult:
    """Promotes a release that has passed its canary check."""
    from recsys_assets.serving.promotion import promote_approved
    from recsys_assets.serving.release import Releases

    started = time.monotonic()
    promoted = promote_approved(Releases(store.get()), serving.live_server(), config.release)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(promoted.release)),
        metadata={
            "release": promoted.release,
            "previous": promoted.previous if promoted.previous is not None else "none",
            "promoted_at": promoted.promoted_at,
            "seconds": time.monotonic() - started,
            "triton": serving.triton_grpc,
        },
    )
