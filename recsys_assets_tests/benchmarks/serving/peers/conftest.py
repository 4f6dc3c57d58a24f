"""A deployment with a promoted release of untrained models, and features that Feast serves."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
import redis

from recsys_assets.events.purchases import purchased_items
from recsys_assets.features.attributes import ATTRIBUTE_TABLES, attribute_rows
from recsys_assets.features.backfill import snapshot_schema
from recsys_assets.features.declarations import (
    ITEM_FEATURES,
    ITEM_PROMOTIONS,
    USER_FEATURES,
    FeatureSet,
)
from recsys_assets.features.feature_store import apply_repository, open_feature_store
from recsys_assets.features.online import OfflineContents, materialize
from recsys_assets.pipeline.diversity import Diversity, Sampling
from recsys_assets.pipeline.seen_items import SeenItems
from recsys_assets.releases.release import Reason
from recsys_assets.releases.rendering import Origin, ReleaseParts, render
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets.services import deployment as services
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import Settings
from recsys_assets.storage import Store
from recsys_assets_tests.serving.fixtures import settings_in
from recsys_assets_tests.serving.untrained_models import publish_untrained_models

DAY = "2017-09-30"
KNOWN_AT = datetime(2017, 10, 1, tzinfo=UTC)
ITEMS = [f"item {n}" for n in range(400)]
BOUGHT = ITEMS[:40]
USERS = ["ann", "bob"]


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a deployment whose Valkey runs; its release neither samples nor diversifies."""
    settings = settings_in(tmp_path_factory.mktemp("home"))
    store = Store(settings.storage_url)
    _write_tables(store)
    publish_untrained_models(store, DAY, settings.models_python)
    valkey = Valkey.of(settings)
    valkey.start()
    try:
        _fill_online_store(settings, store)
        _promote(settings, store)
        yield settings
    finally:
        valkey.stop()


def _write_tables(store: Store) -> None:
    rng = np.random.default_rng(0)
    kinds = [f"kind {n % 7}" for n in range(len(ITEMS))]
    none = pa.nulls(len(ITEMS), pa.string())
    items = {
        "item_id": ITEMS,
        "text": ITEMS,
        "category_l1": kinds,
        "category_l2": kinds,
        "brand": [None if n % 5 == 0 else f"brand {n % 3}" for n in range(len(ITEMS))],
        "price": np.ones(len(ITEMS)),
        "image": none,
    }
    store.table("items").write(pa.table(items))
    store.table("users").write(pa.table({"user_id": USERS, "age": ["30-39", None]}))
    for name, entities in ATTRIBUTE_TABLES.items():
        rows = attribute_rows(
            entities, store.table(entities).read(), KNOWN_AT.date().replace(month=1)
        )
        store.table(name).write(rows)
    vectors = rng.normal(size=(len(ITEMS), 8)).astype(np.float32)
    embeddings = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 8)
    store.table("item_text_embeddings").write(pa.table({"item_id": ITEMS, "embedding": embeddings}))
    for features, ids in ((ITEM_FEATURES, BOUGHT), (USER_FEATURES, USERS)):
        store.table(features.name).write(_activity(features, ids, rng), DAY)
    store.table("item_promotions").write(snapshot_schema(ITEM_PROMOTIONS).empty_table())
    moments = pa.array([datetime.fromisoformat(f"{DAY}T12:00+00:00")] * len(BOUGHT), _TIMESTAMP)
    bought = {"user_id": ["ann"] * len(BOUGHT), "item_id": BOUGHT, "timestamp": moments}
    events = pa.table({**bought, "event": ["purchase"] * len(BOUGHT)})
    store.table("interactions").write(events, DAY)


_TIMESTAMP = pa.timestamp("us", tz="UTC")


def _activity(features: FeatureSet, ids: list[str], rng: np.random.Generator) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for name, dtype in features.columns.items():
        drawn = rng.integers(1, 9, size=len(ids))
        values = [f"kind {n % 7}" for n in drawn] if dtype == "string" else drawn
        columns[name] = pa.array(values).cast(
            {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}[dtype]
        )
    known_at = pa.array([KNOWN_AT] * len(ids), _TIMESTAMP)
    return pa.table({features.key: ids, "event_timestamp": known_at, **columns})


def _fill_online_store(settings: Settings, store: Store) -> None:
    apply_repository(settings)
    contents = OfflineContents.of(store)
    materialize(
        open_feature_store(settings),
        settings.online_store_url,
        settings.first_day,
        settings.today,
        contents,
    )
    with redis.Redis.from_url(settings.online_store_url) as client:
        SeenItems(client).replace_all(purchased_items(store, DAY))


def _promote(settings: Settings, store: Store) -> None:
    releases = services.releases(settings)
    config = ServingConfig(diversity=Diversity(1.0, 50), sampling=Sampling(0.0, 0))
    release = render(
        releases, ReleaseParts.current(store), DAY, Origin(trained_through=DAY), config
    )
    releases.record(release, (), Reason("a first release", "pytest"))
