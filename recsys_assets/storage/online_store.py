"""Clients of the online store, one Valkey or a cluster of them. Runs in both environments.

`redis://` and `rediss://` (TLS) are one primary; `redis+cluster://` and `rediss+cluster://` name
any node of a cluster, whose slots spread users over as many nodes as their features and filters
need. Everything of a user lies in one slot.
"""

import threading
from typing import Any, cast

import redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException

from recsys_assets.storage.named_hosts import NamedHost, NamedTlsHost

# What a client of the store raises: what a cluster as a whole lacks, redis-py counts as none of its
# own errors.
STORE_ERRORS = (redis.RedisError, RedisClusterException)
_CLUSTER, _PLAIN, _TLS = "+cluster://", "redis://", "rediss://"


def is_cluster(url: str) -> bool:
    """Whether a URL names a node of a cluster."""
    return _CLUSTER in url


def open_store(url: str, **options: Any) -> redis.Redis:
    """A client; nothing is connected before it is used.

    Args:
        url: of one of the four schemes.
        options: redis-py's, such as `socket_timeout` in seconds; `socket_connect_timeout` holds for
            looking the host up as well.
    """
    plain = url.replace(_CLUSTER, "://", 1)
    by_name = {"connection_class": NamedTlsHost if plain.startswith(_TLS) else NamedHost, **options}
    if not is_cluster(url):
        return redis.Redis.from_url(url, **by_name)
    # redis-py would put its own kind of connection there for a URL with TLS.
    return cast("redis.Redis", LazyCluster(plain.replace(_TLS, _PLAIN, 1), by_name))


class LazyCluster:
    """A client of a cluster that asks for the slots when it is first used.

    redis-py asks at once, so that a model could not be loaded while the cluster is away.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url = url
        self._options = options
        self._opened: RedisCluster | None = None
        self._lock = threading.Lock()

    def connected(self) -> RedisCluster:
        """The client itself.

        Raises:
            redis.ConnectionError: no node answers.
        """
        with self._lock:
            if self._opened is None:
                try:
                    self._opened = RedisCluster.from_url(self._url, **self._options)
                except RedisClusterException as error:  # redis-py does not count it as its own
                    raise redis.ConnectionError(str(error)) from error
            return self._opened

    def close(self) -> None:
        """Closes all connections; the next use opens them again."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def __enter__(self) -> "LazyCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connected(), name)
