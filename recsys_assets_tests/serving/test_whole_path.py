"""From artifacts in their real formats to answers: render, canary check, promotion, requests."""

import json
import struct
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
import redis
import tritonclient.grpc as grpc

from recsys_assets.candidates.ranked_lists import RankedLists
from recsys_assets.events.purchases import purchased_items
from recsys_assets.features.backfill import snapshot_schema
from recsys_assets.features.declarations import ITEM_FEATURES, ITEM_PROMOTIONS
from recsys_assets.features.reader import PROJECT, OnlineUserFeatures, entity_key, field_name
from recsys_assets.pipeline.exploration import Exploration
from recsys_assets.pipeline.seen_items import SeenItems
from recsys_assets.releases.offline import OfflineRelease, Sessions
from recsys_assets.releases.release import Reason
from recsys_assets.releases.rendering import Origin, ReleaseParts, render
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets.rollout.canary import TemporaryServer, canaries, check_release, measure_latency
from recsys_assets.rollout.guard import Guard
from recsys_assets.rollout.promotion import promote_approved
from recsys_assets.services import deployment
from recsys_assets.storage import Store
from recsys_assets.triton.client import RecommendClient
from recsys_assets.triton.server import TritonServer
from recsys_assets_tests.serving.untrained_models import publish_untrained_models

pytestmark = pytest.mark.integration

DAY = "2017-09-30"
AT = 1_506_816_000
ITEMS = [f"item {n}" for n in range(400)]
BOUGHT = ITEMS[:40]
NEIGHBOURS = [f"neighbour {n}" for n in range(40)]
_MOMENT = pa.timestamp("us", tz="UTC")


def write_tables(store: Store) -> None:
    rng = np.random.default_rng(0)
    categories = [f"category {n % 7}" for n in range(len(ITEMS))]
    none = pa.array([None] * len(ITEMS), pa.string())
    store.table("items").write(
        pa.table(
            {
                "item_id": ITEMS,
                "text": ITEMS,
                "category_l1": categories,
                "category_l2": categories,
                "category_l3": none,
                "brand": none,
                "price": np.ones(len(ITEMS)),
                "image": none,
            }
        )
    )
    store.table("users").write(pa.table({"user_id": ["ann", "bob"], "age": ["30-39", None]}))
    vectors = rng.normal(size=(len(ITEMS), 8)).astype(np.float32)
    embeddings = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 8)
    store.table("item_text_embeddings").write(pa.table({"item_id": ITEMS, "embedding": embeddings}))
    known_at = pa.array([datetime(2017, 10, 1, tzinfo=UTC)] * 40, _MOMENT)
    activity = {name: rng.integers(1, 9, size=40) for name in ITEM_FEATURES.columns}
    store.table("item_features").write(
        pa.table({"item_id": BOUGHT, "event_timestamp": known_at, **activity}), DAY
    )
    store.table("item_promotions").write(snapshot_schema(ITEM_PROMOTIONS).empty_table())
    store.table("interactions").write(purchases(), DAY)


def purchases() -> pa.Table:
    """Ann has bought what she has, and every neighbour 20 items of her own."""
    rng = np.random.default_rng(1)
    bought = [("ann", item) for item in BOUGHT]
    bought += [(user, item) for user in NEIGHBOURS for item in rng.choice(ITEMS, 20, replace=False)]
    users, items = zip(*bought, strict=True)
    count = len(bought)
    return pa.table(
        {
            "user_id": users,
            "item_id": [str(item) for item in items],
            "timestamp": pa.array([datetime(2017, 9, 30, 9, tzinfo=UTC)] * count, _MOMENT),
            "event": ["purchase"] * count,
            "price": rng.uniform(1, 9, count),
            "discount": np.zeros(count),
            "store_id": rng.choice(["s1", "s2"], count).tolist(),
        }
    )


@pytest.fixture(scope="module")
def promoted(running):
    store = Store(running.storage_url)
    write_tables(store)
    publish_untrained_models(store, DAY, running.models_python)
    client = redis.Redis.from_url(running.online_store_url)
    history = purchased_items(store, DAY)
    SeenItems(client).replace_all(history)
    releases = deployment.releases(running)
    config = ServingConfig(exploration=Exploration(0.1))
    origin = Origin(trained_through=DAY)
    release = render(releases, ReleaseParts.current(store), DAY, origin, config)
    server = TemporaryServer(TritonServer.of(running))
    assert check_release(releases, release, server, canaries(history), AT).faulty == ()
    releases.approve(release)
    guard = Guard(1.0, ("ann", "bob"), running.online_store_url)
    reason = Reason("a first release", "pytest")
    return promote_approved(releases, deployment.embedded_server(running), None, reason, guard)


@pytest.fixture
def client(running, promoted):
    with RecommendClient(running.triton_grpc) as client:
        yield client


def test_history_is_left_out(client):
    answer = client.recommend("ann", AT, k=200)
    assert len(answer.item_ids) == 200
    assert not set(answer.item_ids) & set(BOUGHT)
    assert not answer.degraded


def test_features_in_feasts_layout_change_the_answer(client, running):
    before = client.recommend("bob", AT)
    double = b"\x29" + struct.pack("<d", 500.0)  # feast.types.Value with field 5, a double
    key = entity_key("user_id", "bob") + PROJECT.encode()
    store = redis.Redis.from_url(running.online_store_url)
    store.hset(key, field_name("user_features", "spend_28d"), double)
    assert client.recommend("bob", AT).scores != before.scores


def test_strangers_are_answered_by_context(client):
    for user in ("nobody", ""):
        morning = client.recommend(user, AT)
        evening = client.recommend(user, AT + 18 * 3600)
        assert len(morning.item_ids) == len(set(morning.item_ids)) == 10
        assert np.isfinite(morning.scores).all()
        assert morning.scores != evening.scores
        assert not morning.degraded


def test_rows_of_a_batch_are_answered_as_if_alone(client, running):
    users = ["ann", "", "bob", "nobody"]
    inputs = []
    for name, datatype, values in (
        ("user_id", "BYTES", np.array([[user.encode()] for user in users], dtype=object)),
        ("device", "BYTES", np.array([[b"web"]] * 4, dtype=object)),
        ("timestamp", "INT64", AT + np.arange(4)[:, None] * 86_400),
        ("k", "INT32", np.array([[10], [3], [150], [1]], dtype=np.int32)),
    ):
        inputs.append(grpc.InferInput(name, [4, 1], datatype))
        inputs[-1].set_data_from_numpy(values)
    with grpc.InferenceServerClient(running.triton_grpc) as raw:
        together = raw.infer("recommend", inputs)
    for row, (user, k) in enumerate(zip(users, (10, 3, 150, 1), strict=True)):
        alone = client.recommend(user, AT + row * 86_400, "web", k)
        items = [item.decode() for item in together.as_numpy("item_id")[row] if item]
        assert items == alone.item_ids
        scores = together.as_numpy("score")[row, : len(items)]
        assert scores == pytest.approx(np.array(alone.scores), rel=1e-5)


def test_status_is_healthy(running, promoted):
    assert [service.state for service in deployment.status(running)] == ["healthy", "healthy"]


def test_latency_can_be_measured(running, promoted):
    latency = measure_latency(running.triton_grpc, ["ann", "bob", ""], AT, requests=50)
    assert latency.requests == 50
    assert 0 < latency.p50_ms <= latency.p99_ms <= latency.max_ms


@pytest.fixture
def version(running, promoted):
    """The version folder of the promoted release."""
    folder = deployment.releases(running).fetch(promoted.release)
    return folder / f"models/pipeline/{promoted.release}"


@pytest.fixture
def offline(running, promoted):
    folder = deployment.releases(running).fetch(promoted.release)
    return OfflineRelease.load(folder, promoted.release)


def sessions(version, users, moments, devices):
    """Requests of users of whom the online store has no features."""
    names = json.loads((version / "user_columns.json").read_text())
    columns = OnlineUserFeatures(None, names).missing(len(users))
    return Sessions(users, moments, np.array(devices, dtype=object), columns)


def test_an_offline_release_answers_as_the_server_does(version, offline, client):
    strangers = np.array(["nobody", ""], dtype=object)
    asked = sessions(version, strangers, np.full(2, AT), ["web", "mobile"])

    for k in (10, 200):  # more than are enough to rank
        answers = offline.answer(asked, {}, k)
        for user, device, slate in zip(strangers, asked.device, answers.slates, strict=True):
            assert list(client.recommend(user, AT, device, k).item_ids) == slate.tolist()


def test_a_thousand_requests_of_known_customers_are_answered_as_evaluated(
    running, version, offline, client
):
    """With candidates ranked ahead, at other moments, and what the filters hold by mistake."""
    users = np.array(NEIGHBOURS * 25, dtype=object)
    moments = AT + np.arange(len(users)) * 1_000
    asked = sessions(version, users, moments, ["web"] * len(users))
    lists = RankedLists.load(version)
    assert all(len(lists.of(user).rows) > 100 for user in NEIGHBOURS)
    filters = SeenItems(redis.Redis.from_url(running.online_store_url), offline.item_ids.tolist())
    held = filters.seen_rows(NEIGHBOURS, [np.arange(len(ITEMS))] * len(NEIGHBOURS))
    purchased = {
        user: set(offline.item_ids[seen]) for user, seen in zip(NEIGHBOURS, held, strict=True)
    }

    slates = offline.answer(asked, purchased).slates

    different = sum(
        client.recommend(user, moment, "web").item_ids != slate.tolist()
        for user, moment, slate in zip(users, moments.tolist(), slates, strict=True)
    )
    assert different == 0
