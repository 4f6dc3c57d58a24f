"""Who is asked about a cluster whose primaries change."""

import pytest
from prometheus_client import CollectorRegistry

from recsys_assets.services.online_store_metrics import OnlineStoreMetrics
from recsys_assets_tests.valkey_cluster import valkey_cluster
from recsys_assets_tests.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(tmp_path):
    with valkey_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def is_up(cluster):
    """Whether the store is told to be up, by metrics that have met its first primaries."""
    registry = CollectorRegistry()
    OnlineStoreMetrics(cluster.url, registry)
    assert registry.get_sample_value("recsys_valkey_up") == 1
    return lambda: registry.get_sample_value("recsys_valkey_up") == 1


def test_a_primary_that_has_become_a_replica_is_asked_no_more(cluster, is_up):
    *_, replica = cluster.nodes
    replica.client.execute_command("CLUSTER FAILOVER")
    until(lambda: replica.client.info("replication")["role"] == "master")
    until(lambda: cluster.nodes[0].client.info("replication")["role"] == "slave")
    assert is_up()
    assert is_up()

    cluster.nodes[0].stop()
    assert is_up()


def test_when_a_primary_has_died_the_one_that_replaces_it_is_asked(cluster, is_up):
    cluster.nodes[0].stop()
    assert not is_up()

    until(is_up)
