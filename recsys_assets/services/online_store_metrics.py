"""What whoever watches the online store tells Prometheus of it; it is asked at each scrape.

On one machine that is the watchdog, on a cluster the exporter: somebody must say that the store is
down, and agents, which look at their own server alone, cannot.
"""

from collections.abc import Iterator
from typing import Any

import redis
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recsys_assets.storage.online_store import STORE_ERRORS, LazyCluster, open_store

_SECONDS = 1.0


class OnlineStoreMetrics(Collector):
    """Metrics of the store at a URL; while it is down, only that it is."""

    def __init__(self, url: str, registry: CollectorRegistry) -> None:
        self._store = open_store(url, socket_connect_timeout=_SECONDS, socket_timeout=_SECONDS)
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """None: to be registered asks nobody."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Families as Prometheus asks for them; of a cluster, sums over its primaries."""
        try:
            nodes = self._primaries()
        except STORE_ERRORS:
            self._store.close()  # of a cluster, asks anew at the next scrape who its primaries are
            yield GaugeMetricFamily(*_UP, value=0.0)
            return
        if any(node["role"] != "master" for node in nodes):
            self._store.close()  # likewise after a failover
        yield GaugeMetricFamily(*_UP, value=1.0)
        for kind, name, text, field in _FIELDS:
            yield kind(name, text, value=float(sum(node[field] for node in nodes)))

    def _primaries(self) -> list[dict[str, Any]]:
        """What each says of itself; its keys among it."""
        if not isinstance(self._store, LazyCluster):
            return [_told(self._store)]
        cluster = self._store.connected()
        return [_told(cluster.get_redis_connection(node)) for node in cluster.get_primaries()]


_UP = ("recsys_valkey_up", "1 if the online store answers")
_FIELDS = (
    (GaugeMetricFamily, "recsys_valkey_memory_bytes", "Memory that it uses", "used_memory"),
    (GaugeMetricFamily, "recsys_valkey_memory_max_bytes", "Its limit, 0 if none", "maxmemory"),
    (GaugeMetricFamily, "recsys_valkey_clients", "Open connections", "connected_clients"),
    (GaugeMetricFamily, "recsys_valkey_keys", "Keys that it holds", "keys"),
    (CounterMetricFamily, "recsys_valkey_evicted_keys", "Keys forgotten", "evicted_keys"),
)


def _told(node: redis.Redis) -> dict[str, Any]:
    return {**node.info(), "keys": node.dbsize()}
