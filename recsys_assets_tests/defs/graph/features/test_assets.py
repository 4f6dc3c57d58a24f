"""The feature assets as Dagster runs them: Spark, Feast and Valkey, over the tiny history."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import numpy as np
import polars as pl
import pytest
import redis

from recsys_assets.defs.graph.features import assets, checks
from recsys_assets.defs.graph.features import examples as example_assets
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets.features.attributes import user_columns
from recsys_assets.features.feature_store import open_feature_store
from recsys_assets.features.online import (
    MARKER,
    OfflineContents,
    OnlineStoreUnreachable,
    materialize,
)
from recsys_assets.features.parity import features_as_of, offline_online_parity, sampled_parity
from recsys_assets.features.reader import OnlineUserFeatures
from recsys_assets.settings import load_settings
from recsys_assets.settings.days import days_between
from recsys_assets.storage import Store
from recsys_assets.storage.online_store import open_store
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.features.naive import promotion_values
from recsys_assets_tests.features.tiny_history import (
    FIRST_DAY,
    LAST_DAY,
    USERS,
    make_events,
    make_promotions,
    midnight,
    write_history,
)
from recsys_assets_tests.valkey_cluster import valkey_cluster

pytestmark = pytest.mark.integration
TODAY = LAST_DAY - timedelta(days=1)
DAYS = days_between(FIRST_DAY, LAST_DAY)
CONTENTS = OfflineContents({}, {})


@pytest.fixture(scope="module")
def environment(valkey, tmp_path_factory):
    """Environment variables of a deployment over the tiny history."""
    folder, url = (
        tmp_path_factory.mktemp("deployment"),
        f"redis://127.0.0.1:{valkey.address.port}/0",
    )
    with redis.Redis.from_url(url) as client:
        client.flushall()  # a store that is further on would stay there
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECSYS_HOME", str(folder))
        patch.setenv("RECSYS_STORAGE", f"{folder.as_uri()}/storage")
        patch.setenv("RECSYS_TODAY", TODAY.isoformat())
        patch.setenv("RECSYS_ONLINE_STORE_URL", url)
        yield load_settings()


@pytest.fixture(scope="module")
def job(environment):
    definitions = dg.Definitions(
        assets=dg.load_assets_from_modules([assets, example_assets]),
        asset_checks=dg.load_asset_checks_from_modules([checks]),
        jobs=[dg.define_asset_job("features", dg.AssetSelection.groups("features"))],
        resources={
            "store": StoreResource(url=environment.storage_url),
            "run_days": RunDays.from_settings(environment),
        },
        executor=dg.in_process_executor,
    )
    return definitions.resolve_job_def("features")


@pytest.fixture(scope="module")
def run(environment, job, spark):
    """All feature assets and their checks, run once over all days."""
    write_history(Store(environment.storage_url))
    with dg.DagsterInstance.ephemeral() as instance:
        yield job.execute_in_process(
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": DAYS[0],
                "dagster/asset_partition_range_end": DAYS[-1],
            },
        )


@pytest.fixture
def feature_store(run, environment):
    assert run.success
    return open_feature_store(environment)


@pytest.fixture
def examples(run, environment):
    return pl.DataFrame(
        pl.from_arrow(Store(environment.storage_url).table("training_examples").read())
    )


def test_all_checks_pass(run):
    results = {e.check_name: e.passed for e in run.get_asset_check_evaluations()}

    assert results == {
        "user_features_in_range": True,
        "item_features_in_range": True,
        "user_features_know_no_future": True,
        "item_features_know_no_future": True,
        "every_first_purchase_is_an_example": True,
        "examples_know_no_future": True,
        "offline_equals_online": True,
    }


def test_examples_are_first_purchases(examples):
    bought = {}
    for event in make_events():
        if event["event"] == "purchase" and event["timestamp"] < midnight(TODAY):
            bought.setdefault((event["user_id"], event["item_id"]), event["timestamp"])

    found = {(u, i): t for u, i, t in examples.select("user_id", "item_id", "timestamp").rows()}

    assert examples.height == len(found)
    assert found == bought


def test_daily_examples_are_joined_as_training_examples_are(run, environment, examples):
    table = Store(environment.storage_url).table("daily_examples")
    known = [day for day in DAYS if day < TODAY.isoformat()]
    daily = pl.DataFrame(table.read(known))

    assert set(daily["split"]) == {"train"}
    keys = ["timestamp", "user_id", "item_id"]
    assert daily.drop("split").sort(keys).equals(examples.drop("split").sort(keys))


def test_a_day_on_which_nobody_bought_anything_new_has_no_examples(run, job, environment):
    table = Store(environment.storage_url).table("daily_examples")
    quiet = next(day for day in DAYS if table.read([day]).num_rows == 0)
    schema = table.read([quiet]).schema

    with dg.DagsterInstance.ephemeral() as instance:
        again = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey("daily_examples")],
            partition_key=quiet,
        )

    assert again.success
    assert table.read([quiet]).num_rows == 0
    assert table.read([quiet]).schema == schema


def test_an_example_has_the_promotion_of_its_own_moment(examples):
    promotions = make_promotions()

    for row in examples.select("item_id", "timestamp", "display", "mailer").to_dicts():
        expected = promotion_values(promotions, row["item_id"], row["timestamp"])
        assert {name: row[name] or 0.0 for name in expected} == expected


def test_the_last_week_validates(examples):
    start = midnight(TODAY) - timedelta(days=7)

    assert set(examples.filter(pl.col("timestamp") >= start)["split"]) == {"validation"}
    assert set(examples.filter(pl.col("timestamp") < start)["split"]) == {"train"}


def test_a_user_before_any_event_is_in_the_examples_without_activity(examples):
    first = examples.sort("timestamp").row(0, named=True)

    assert first["last_event_at"] is None
    assert first["first_sold_at"] is None


def test_time_travel_reads_what_was_known_then(feature_store):
    moment = midnight(FIRST_DAY) + timedelta(days=12, hours=8)
    events = [e for e in make_events() if e["timestamp"] < midnight(moment.date())]

    rows = features_as_of(feature_store, "user", [*USERS, "stranger"], moment).to_pylist()

    for row in rows:
        own = [e for e in events if e["user_id"] == row["user_id"]]
        week = [e for e in own if e["timestamp"] >= midnight(moment.date()) - timedelta(days=7)]
        last = max((int(e["timestamp"].timestamp()) for e in own), default=None)
        assert row["last_event_at"] == last
        # A user whose every event is older has a row that says so; a stranger has none.
        assert row["events_7d"] == (len(week) if own else None)


def test_time_travel_wants_a_time_zone(feature_store):
    with pytest.raises(ValueError, match="no time zone"):
        features_as_of(feature_store, "user", USERS, datetime(2017, 1, 9))


def test_the_reader_equals_the_feature_service(feature_store, environment):
    columns = user_columns(Store(environment.storage_url))
    people = [*USERS, "nobody", "stranger"]
    service = feature_store.get_feature_service("retrieval")
    expected = feature_store.get_online_features(
        service, [{"user_id": user} for user in people]
    ).to_dict()

    with redis.Redis.from_url(environment.online_store_url) as client:
        found = OnlineUserFeatures(client, columns).read(people)

    assert set(found) == set(expected) - {"user_id"}
    for name, values in found.items():
        missing = [v == "" if values.dtype == object else bool(np.isnan(v)) for v in values]
        assert [None if m else v for m, v in zip(missing, values, strict=True)] == expected[name]


def test_a_wrong_online_value_is_noticed(feature_store, environment):
    store = Store(environment.storage_url)
    moment = midnight(TODAY)

    too_early = offline_online_parity(feature_store, "user", USERS, moment - timedelta(days=3))
    with redis.Redis.from_url(environment.online_store_url) as client:
        reader = OnlineUserFeatures(client, user_columns(store))
        right = sampled_parity(feature_store, reader, store, moment, 1_000)

    assert too_early.different > 0
    assert "offline" in too_early.examples[0]
    assert right.different == 0


def test_one_more_day_sends_only_what_is_new(feature_store, environment):
    url = environment.online_store_url.removesuffix("/0") + "/1"  # others look at the first
    feature_store = open_feature_store(replace(environment, online_store_url=url))
    contents = OfflineContents.of(Store(environment.storage_url))
    materialize(feature_store, url, FIRST_DAY, TODAY, contents)

    later = materialize(feature_store, url, FIRST_DAY, LAST_DAY, contents)
    again = materialize(feature_store, url, FIRST_DAY, TODAY, contents)

    assert (later.start, later.end, later.complete) == (midnight(LAST_DAY),) * 2 + (False,)
    assert (again.start, again.end, again.complete) == (midnight(LAST_DAY),) * 2 + (False,)


def test_an_emptied_store_is_filled_again(feature_store, environment):
    contents = OfflineContents.of(Store(environment.storage_url))
    with redis.Redis.from_url(environment.online_store_url) as client:
        client.flushall()
        sent = materialize(feature_store, environment.online_store_url, FIRST_DAY, TODAY, contents)

        assert sent.complete
        assert client.get(MARKER) == midnight(TODAY).isoformat().encode()
        reader = OnlineUserFeatures(client, ["events_28d"])
        assert not np.isnan(reader.read([USERS[3]])["events_28d"]).any()


def test_a_cluster_holds_and_answers_the_same(run, environment, tmp_path):
    assert run.success
    store, moment = Store(environment.storage_url), midnight(TODAY)
    with valkey_cluster(tmp_path) as cluster:
        url = cluster.url
        feature_store = open_feature_store(replace(environment, online_store_url=url))
        contents = OfflineContents.of(store)
        assert materialize(feature_store, url, FIRST_DAY, TODAY, contents).complete
        with open_store(url) as client:
            reader = OnlineUserFeatures(client, user_columns(store))
            parity = sampled_parity(feature_store, reader, store, moment, 1_000)
        holding = [node for node in cluster.nodes[:3] if node.client.dbsize()]

    assert parity.compared > 0
    assert parity.different == 0
    assert len(holding) == 3


def test_a_store_that_is_down_is_named(feature_store):
    url = f"redis://127.0.0.1:{free_port()}/0"

    with pytest.raises(OnlineStoreUnreachable, match=r"recsys up.*RECSYS_ONLINE_STORE_URL"):
        materialize(feature_store, url, FIRST_DAY, TODAY, CONTENTS)


def test_views_are_described_as_of_now(feature_store):
    view = feature_store.get_feature_view("user_features")

    assert {f.name: f.description for f in view.features}["events_1d"]
    assert datetime.now(UTC) >= view.last_updated_timestamp.replace(tzinfo=UTC)
