"""What is listed as told is what the code tells."""

import pytest
import redis
from prometheus_client import CollectorRegistry

from recsys_assets.exporter.metrics import StoreMetrics, UncollectedAnswers
from recsys_assets.exporter.reading import StoreReader
from recsys_assets.services.online_store_metrics import OnlineStoreMetrics
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.exporter.made_up_store import small_store
from tools.dashboards.names import (
    AGENT,
    EVENTS,
    EXPORTER,
    HTTP,
    LANDING,
    ONLINE_STORE,
    named,
    watched,
)


def samples(registry):
    return {sample.name for family in registry.collect() for sample in family.samples}


def families(registry):
    """Names of what is counted, whether anything was counted yet or not."""
    types = {"counter": "_total", "histogram": "_bucket"}
    return {f"{one.name}{types.get(one.type, '')}" for one in registry.collect()}


def test_the_exporter(tmp_path):
    nowhere = redis.Redis.from_url(f"redis://127.0.0.1:{free_port()}")
    answers = UncollectedAnswers(nowhere, 1000)
    metrics = StoreMetrics(StoreReader(small_store(tmp_path)), answers)
    metrics.look()
    assert samples(metrics.registry) == EXPORTER


@pytest.mark.integration
def test_who_watches_the_online_store(valkey_url):
    registry = CollectorRegistry()
    OnlineStoreMetrics(valkey_url, registry)
    assert samples(registry) == ONLINE_STORE


def test_an_agent_tells_of_its_server_alone(tmp_path):
    from recsys_assets.releases.release import Releases
    from recsys_assets.rollout.agent import Agent
    from recsys_assets.rollout.following import Following, promoted
    from recsys_assets.rollout.single_server import SingleServer
    from recsys_assets.storage import Store

    following = Following(Releases(Store(tmp_path.as_uri(), tmp_path)), promoted)
    agent = Agent(following, SingleServer("127.0.0.1:1", tmp_path), 0.0)
    told = samples(agent.metrics.registry)
    assert told >= {*AGENT, *watched()}
    assert not told & ONLINE_STORE


def test_a_service():
    from recsys_assets.storefront.web import HttpMetrics

    metrics = HttpMetrics("recommend")
    metrics.answered("/v1/recommendations", 200, 0.01)
    assert samples(metrics.registry) >= HTTP


def test_the_event_service():
    from recsys_assets.storefront.event_service import EventMetrics
    from recsys_assets.storefront.item_routes import ItemMetrics

    registry = CollectorRegistry()
    EventMetrics(registry, SilentStream())
    ItemMetrics(registry, NoChanges())
    assert families(registry) >= EVENTS


def test_the_landing():
    from recsys_assets.storefront.event_landing import LandingMetrics
    from recsys_assets.storefront.event_service import unlanded_gauge

    registry = CollectorRegistry()
    LandingMetrics(registry)
    unlanded_gauge(registry, SilentStream())
    assert families(registry) >= LANDING


class SilentStream:
    """A stream of events without any."""

    def length(self):
        return 0


class NoChanges:
    """States of items, of which none departs from the release."""

    def count(self):
        return 0


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('up{job="a_b"} == 0 or absent(up{job="c"})', {"up"}),
        ("sum by (a, b) (rate(x_total[5m])) / on (c) group_left () (y:z > 0)", {"x_total", "y:z"}),
        ("predict_linear(free_bytes[6h], 4 * 3600) < 0 offset 1h", {"free_bytes"}),
        ('1 - x{le="0.025", path=~"/v1/.*"} > 14.4 * 1e6', {"x"}),
        ("vector(1)", set()),
    ],
)
def test_names_are_found_in_an_expression(expression, names):
    assert named(expression) == names
