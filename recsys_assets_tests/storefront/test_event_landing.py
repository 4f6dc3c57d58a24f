import io
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import boto3
import polars as pl
import pyarrow.parquet as pq
import pytest
import redis
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from recsys_assets.events.ingest import ingest
from recsys_assets.events.sources.parquet import ParquetSource
from recsys_assets.storage import Store
from recsys_assets.storefront.event_landing import (
    Landing,
    LandingMetrics,
    Pace,
    landing_service,
)
from recsys_assets.storefront.event_rows import Event
from recsys_assets.storefront.event_stream import EventStream
from recsys_assets_tests.events.deliveries import ITEMS, write_shop
from recsys_assets_tests.storefront import landing_of_a_killed_process
from recsys_assets_tests.storefront.events import GOOD
from recsys_assets_tests.waiting import until

pytestmark = pytest.mark.integration
LAND = [sys.executable, "-m", landing_of_a_killed_process.__name__]
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = TODAY - timedelta(days=1)


@pytest.fixture
def store(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def stream(store):
    return EventStream(store)


@pytest.fixture
def shop(tmp_path):
    return write_shop(tmp_path / "shop")


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def landing(stream, shop, registry):
    return Landing(stream, shop.as_uri(), LandingMetrics(registry))


def at(moment, user="ann", **fields):
    return {**GOOD, "timestamp": moment.isoformat(), "user_id": user, **fields}


def accept(stream, *events):
    read = [Event.of(event) for event in events]
    assert stream.append([(one.event_id, one.made, one.row_as_json()) for one in read], 10_000)


def files(shop, folder="interactions"):
    return sorted(path.relative_to(shop / folder) for path in (shop / folder).rglob("*.parquet"))


def users(shop):
    """Who did something, as often as it was landed."""
    tables = [pq.read_table(shop / "interactions" / file) for file in files(shop)]
    return sorted(user for table in tables for user in table["user_id"].to_pylist())


def test_each_event_lies_in_the_folder_of_its_own_day(stream, landing, shop):
    accept(stream, at(TODAY, "ann"), at(YESTERDAY, "bob"), at(TODAY, "cleo"))
    assert landing.land(10) == 3
    today, yesterday = TODAY.date(), YESTERDAY.date()
    found = files(shop)
    assert [file.parent.name for file in found] == [f"day={yesterday}", f"day={today}"]
    assert len({file.name for file in found}) == 1
    source = ParquetSource(shop.as_uri(), yesterday - timedelta(days=9), None)
    rows = source.interactions([yesterday])
    assert rows.filter(pl.col("delivered_day") == yesterday)["user_id"].to_list() == ["bob"]
    assert stream.length() == 0


def test_what_was_landed_is_accepted_by_the_ingest(stream, landing, shop, tmp_path):
    accept(stream, at(TODAY, price=None), at(TODAY + timedelta(microseconds=1), session_id=None))
    landing.land(10)
    store, day = Store((tmp_path / "store").as_uri()), TODAY.date()
    source = ParquetSource(shop.as_uri(), day, None)
    report = ingest(source, store, [day], ITEMS, datetime.now(UTC))
    assert (report.days[0].rows, report.days[0].quarantined) == (2, 0)
    landed = store.table("interactions").read([day.isoformat()]).to_pylist()
    assert landed[0] == {**GOOD, "timestamp": TODAY, "price": None, "store_id": None}


def test_a_batch_takes_no_more_than_asked(stream, landing, shop):
    accept(stream, *(at(TODAY, user) for user in "abcde"))
    assert [landing.land(2) for _ in range(4)] == [2, 2, 1, 0]
    assert len(files(shop)) == 3
    assert users(shop) == [*"abcde"]


class TestRepetitions:
    def test_within_a_batch(self, stream, landing, shop):
        accept(stream, at(TODAY, "a", event_id="1"), at(TODAY, "a", event_id="1"))
        landing.land(10)
        assert users(shop) == ["a"]

    @pytest.mark.parametrize("batch", [1, 10], ids=["in the next batch", "in the same batch"])
    def test_another_event_of_the_same_id_is_none_and_kept_aside(
        self, stream, landing, shop, registry, batch
    ):
        accept(stream, at(TODAY, "a", event_id="1"), at(TODAY, "b", event_id="1"))
        while landing.land(batch):
            pass
        assert users(shop) == ["a"]
        (file,) = files(shop, "quarantined_events")
        (row,) = pq.read_table(shop / "quarantined_events" / file).to_pylist()
        assert row["id"] == "1"
        assert row["reason"].startswith("shared_event_id: ")
        assert '\\"user_id\\":\\"b\\"' in row["row"]
        assert registry.get_sample_value("recsys_events_quarantined_total") == 1
        assert registry.get_sample_value("recsys_events_repeated_total") == 0

    def test_after_it(self, stream, landing, shop, registry):
        accept(stream, at(TODAY, "a", event_id="1"))
        landing.land(10)
        accept(stream, at(TODAY, "a", event_id="1"), at(TODAY, "a", event_id="2"))
        assert landing.land(10) == 2
        assert users(shop) == ["a", "a"]
        assert registry.get_sample_value("recsys_events_repeated_total") == 1


class TestCrash:
    STEPS = (
        "file 1",
        *(
            pytest.param(step, marks=pytest.mark.slow)
            for step in ("read", "file 2", "remember", "settle")
        ),
    )

    def crash(self, valkey_url, shop, step):
        ended = subprocess.run([*LAND, valkey_url, shop.as_uri(), step])
        assert ended.returncode == -signal.SIGKILL

    @pytest.mark.parametrize("step", STEPS)
    def test_a_killed_process_has_lost_and_doubled_nothing(
        self, valkey_url, stream, landing, shop, step
    ):
        accept(
            stream,
            at(YESTERDAY, "a", event_id="1"),
            at(TODAY, "b", event_id="2"),
            at(TODAY, "c"),
            at(TODAY, "d"),
        )
        self.crash(valkey_url, shop, step)
        accept(stream, at(YESTERDAY, "e"), at(TODAY, "b", event_id="2"))
        while landing.land(10):
            pass
        assert users(shop) == [*"abcde"]
        assert len(files(shop)) == 4
        assert stream.length() == 0

    def test_the_same_batch_gives_the_same_bytes(self, valkey_url, stream, landing, shop):
        accept(stream, at(TODAY, "a"))
        self.crash(valkey_url, shop, "settle")
        (file,) = files(shop)
        before = (shop / "interactions" / file).read_bytes()
        landing.land(10)
        assert files(shop) == [file]
        assert (shop / "interactions" / file).read_bytes() == before


@pytest.mark.slow
def test_on_s3_too(valkey_url, stream, s3_environment):
    accept(stream, at(YESTERDAY, "a"), at(TODAY, "b"), at(TODAY, "c"), at(TODAY, "d"))
    for step in ("file 1", "", ""):
        subprocess.run(
            [*LAND, valkey_url, "s3://shop/raw", step],
            env=os.environ | s3_environment,
        )
    assert stream.length() == 0
    bucket = boto3.client(
        "s3",
        endpoint_url=s3_environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    )
    keys = [found["Key"] for found in bucket.list_objects_v2(Bucket="shop")["Contents"]]
    bodies = [bucket.get_object(Bucket="shop", Key=key)["Body"].read() for key in keys]
    landed = [pq.read_table(io.BytesIO(body))["user_id"].to_pylist() for body in bodies]
    assert [key.split("/")[:3] for key in keys] == [
        ["raw", "interactions", f"day={day.date()}"] for day in (YESTERDAY, TODAY, TODAY)
    ]
    assert sorted(map(tuple, landed)) == [("a",), ("b", "c"), ("d",)]


def test_two_processes_at_once_are_wasteful_not_harmful(valkey_url, stream, shop):
    accept(stream, *(at(TODAY, f"{number:03}", event_id=f"{number}") for number in range(300)))

    def land():
        with redis.Redis.from_url(valkey_url) as store:
            own = Landing(EventStream(store), shop.as_uri(), LandingMetrics(CollectorRegistry()))
            while stream.length():
                own.land(7)

    threads = [threading.Thread(target=land) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert users(shop) == [f"{number:03}" for number in range(300)]


class TestQuarantine:
    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"id": "1", "made": "1", "row": "{"}, "not_json"),
            ({"id": "1", "made": "1", "row": "[]"}, "not_an_object"),
            ({"id": "1", "made": "1", "row": '{"price": "x"}'}, "unusable_price: price is 'x'"),
            ({"id": "1", "made": "1", "row": "{}"}, "missing_timestamp"),
            ({"made": "1", "row": "{}"}, "unusable_event_id"),
            ({"something": b"\xff"}, "not_json"),
        ],
    )
    def test_an_entry_that_is_no_event_is_kept_aside(
        self, store, stream, landing, shop, registry, fields, reason
    ):
        store.xadd("recsys:events", fields)
        accept(stream, at(TODAY, "a"))
        landing.land(10)
        assert users(shop) == ["a"]
        (file,) = files(shop, "quarantined_events")
        (row,) = pq.read_table(shop / "quarantined_events" / file).to_pylist()
        assert row["reason"].startswith(reason)
        assert all(name in row["row"] for name in fields)
        assert registry.get_sample_value("recsys_events_quarantined_total") == 1


class TestService:
    def run(self, store, url, pace):
        _, app = landing_service(store, url, pace)
        return TestClient(app)

    def test_it_lands_what_is_there_and_tells(self, store, stream, shop):
        accept(stream, at(TODAY, "a"), at(YESTERDAY, "b"))
        with self.run(store, shop.as_uri(), Pace(3600, 2)) as client:
            until(lambda: stream.length() == 0)
            accept(stream, at(TODAY, "c"))
            text = client.get("/metrics").text
            assert client.get("/live").status_code == 200
        assert "recsys_events_landed_rows_total 2.0" in text
        assert "recsys_events_landed_late_rows_total 1.0" in text
        assert "recsys_events_unlanded 1.0" in text
        assert users(shop) == ["a", "b"], "the third waits for company, or for its time"

    def test_an_outage_is_waited_out(self, store, stream, tmp_path):
        (tmp_path / "shop").write_text("no folder")
        accept(stream, at(TODAY, "a"))
        with self.run(store, (tmp_path / "shop").as_uri(), Pace(0.1, 1)) as client:
            until(lambda: "failures_total 1.0" in client.get("/metrics").text)
            assert client.get("/live").status_code == 200
            (tmp_path / "shop").unlink()
            until(lambda: stream.length() == 0)
        assert users(tmp_path / "shop") == ["a"]
