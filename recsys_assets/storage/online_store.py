"""Clients of the online store, one Valkey or a cluster of them. Runs in both environments.

`redis://` and `rediss://` (TLS) are one primary; `redis+cluster://` and `rediss+cluster://` name
any node of a cluster, whose slots spread users over as many nodes as their features and filters
need. Everything of a user lies in one slot.

Hosts are looked up within the connection's time limit. The system's own look-up knows no limit:
while a name server is silent it takes many seconds, in which a model process would answer nobody.
So each runs in a thread of its own. Who connects waits for it no longer than for the connection,
and goes on with the addresses that were known last.
"""

import ipaddress
import socket
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, cast

import redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException

# What a client of the store raises: what a cluster as a whole lacks, redis-py counts as none of its
# own errors.
STORE_ERRORS = (redis.RedisError, RedisClusterException)
_CLUSTER, _PLAIN, _TLS = "+cluster://", "redis://", "rediss://"
# A store that fails over keeps its name; its clients connect again, and should find the new one.
_FRESH_SECONDS = 5.0


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


@dataclass
class _Known:
    """Addresses of a name, when they were looked up, and a look-up that is under way."""

    addresses: list[str] = field(default_factory=list)
    at: float = float("-inf")
    looking: "Future[list[str]] | None" = None


class Names:
    """What names stand for, for all threads of a process."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, seconds: float) -> list[str]:
        """IP addresses of a host, as of the last seconds if they can be had in time.

        Raises:
            TimeoutError: the name is not known yet, and looking it up takes longer.
            OSError: there is no such name.
        """
        if _is_address(host):
            return [host]
        with self._lock:
            known = self._known.setdefault(host, _Known())
            if time.monotonic() - known.at < _FRESH_SECONDS:
                return known.addresses
            looking = known.looking or self._look_up(host, known)
        try:
            return looking.result(timeout=seconds)
        except OSError as error:
            if known.addresses:
                return known.addresses
            if isinstance(error, TimeoutError):
                raise TimeoutError(f"{host} was not resolved within {seconds:g} s") from None
            raise

    def doubt(self, host: str) -> None:
        """Looks a name up anew before it is next used."""
        with self._lock:
            self._known.setdefault(host, _Known()).at = float("-inf")

    def _look_up(self, host: str, known: _Known) -> "Future[list[str]]":
        looking: Future[list[str]] = Future()
        known.looking = looking

        def end(error: OSError) -> None:
            known.looking = None
            looking.set_exception(error)

        def look_up() -> None:
            try:
                entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except OSError as error:
                end(error)
                return
            except UnicodeError as error:  # no name can be like this
                end(OSError(f"{host}: {error}"))
                return
            known.addresses = list(dict.fromkeys(str(address[0]) for *_, address in entries))
            known.at, known.looking = time.monotonic(), None
            looking.set_result(known.addresses)

        try:
            threading.Thread(target=look_up, name=f"look-up of {host}", daemon=True).start()
        except RuntimeError as error:  # no more threads can be had now
            end(OSError(f"{host} cannot be looked up: {error}"))
        return looking


_NAMES = Names()


class NamedHost(redis.Connection):
    """A connection whose `socket_connect_timeout` holds for the look-up of its host as well."""

    def _connect(self) -> socket.socket:
        name, limit = self.host, self.socket_connect_timeout
        if limit is None:
            return self._connected(name, name)
        failed: OSError | None = None
        for address in _NAMES.addresses(name, limit):
            try:
                return self._connected(name, address)
            except OSError as error:
                failed = error
        _NAMES.doubt(name)
        raise failed or OSError(f"{name} has no address")

    def _connected(self, name: str, address: str) -> socket.socket:
        self.host = address
        try:
            connected: socket.socket = super()._connect()
            return connected
        finally:
            self.host = name  # which a certificate is for


class NamedTlsHost(redis.SSLConnection, NamedHost):
    """The same under TLS."""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
