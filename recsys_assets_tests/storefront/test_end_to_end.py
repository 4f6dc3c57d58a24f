"""A storefront's whole round: a slate, a purchase, the next slate, and the purchase as history."""

from datetime import UTC, datetime

import polars as pl
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from recsys_assets.events.ingest import ingest
from recsys_assets.events.sources.parquet import ParquetSource
from recsys_assets.rollout.promotion import promote
from recsys_assets.storage import Store
from recsys_assets.storefront import event_service, recommend_service
from recsys_assets.storefront.event_intake import connect
from recsys_assets.storefront.event_landing import Landing, LandingMetrics
from recsys_assets.storefront.event_stream import EventStream
from recsys_assets.storefront.recommend_service import QueryLimits
from recsys_assets_tests.serving.tiny_release import item_ids, publish_tiny_release
from recsys_assets_tests.storefront.events import happened

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def release(releases, live):
    return promote(releases, live, publish_tiny_release(releases)).release


@pytest.fixture
def recommend(running, release):
    limits = QueryLimits(deadline_ms=10_000, cache_seconds=60)
    _, app = recommend_service.recommend_service(running.triton_grpc, limits)
    with TestClient(app) as client:
        yield client


@pytest.fixture
def store(running):
    with connect(running.online_store_url) as found:
        yield found


@pytest.fixture
def events(running):
    _, app = event_service.event_service(connect(running.online_store_url))
    with TestClient(app) as client:
        yield client


def slate(client, **asked):
    answer = client.get(recommend_service.PATH, params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_bought_item_is_not_recommended_again_and_becomes_history(
    recommend, events, store, release, tmp_path
):
    moment = 1_506_816_000
    first = slate(recommend, user_id="ann", k=5, at=moment)
    assert first["release"] == release
    assert not first["degraded"]
    assert [item["score"] for item in first["items"]] == sorted(
        (item["score"] for item in first["items"]), reverse=True
    )
    bought = first["items"][0]["item_id"]
    assert slate(recommend, user_id="ann", k=5, at=moment) == first

    purchase = happened(item_id=bought, event_id="order-1")
    assert events.post(event_service.PATH, json=[purchase]).status_code == 202

    second = slate(recommend, user_id="ann", k=5, at=moment)
    assert bought not in [item["item_id"] for item in second["items"]]

    url = (tmp_path / "shop").as_uri()
    landing = Landing(EventStream(store), url, LandingMetrics(CollectorRegistry()))
    assert landing.land(100) == 1

    happened_at = datetime.fromisoformat(purchase["timestamp"])
    day = happened_at.date()
    tables = Store((tmp_path / "store").as_uri())
    known = pl.Series(item_ids(release))
    report = ingest(ParquetSource(url, day, None), tables, [day], known, datetime.now(UTC))
    assert (report.days[0].rows, report.days[0].quarantined) == (1, 0)
    (row,) = tables.table("interactions").read([day.isoformat()]).to_pylist()
    assert (row["user_id"], row["item_id"], row["timestamp"]) == ("ann", bought, happened_at)


def test_anonymous_visitors_are_answered_from_memory(recommend, release):
    moment = 1_506_816_000
    first = slate(recommend, k=5, at=moment + 7)
    assert slate(recommend, k=5, at=moment + 42) == first
    assert first["release"] == release


def test_what_the_model_refuses_is_told_to_the_caller_though_the_cache_has_an_answer(recommend):
    slate(recommend)
    answer = recommend.get(recommend_service.PATH, params={"search_budget": "endless"})
    assert answer.status_code == 422
    assert "search_budget is 'endless': choose one of" in answer.json()["detail"]


def test_the_service_is_ready_by_a_real_answer(recommend):
    slate(recommend)
    assert recommend.get("/ready").status_code == 200
