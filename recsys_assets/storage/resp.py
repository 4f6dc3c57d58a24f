"""Packed commands to Redis or Valkey, any number of them in one round trip.

redis-py packs a command argument by argument, which on the path of a request takes longer than
the store's answer. Here the caller packs, in the protocol's own form (RESP,
https://valkey.io/topics/protocol/). Of a cluster every node is asked at once, each for its slots.
Runs in both environments.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from recsys_assets.storage.online_store import LazyCluster

if TYPE_CHECKING:
    import redis
    from redis.cluster import RedisCluster


class Packed(NamedTuple):
    """Commands, one or more, over keys of one slot; `key` is any of them."""

    key: bytes
    commands: bytes


def bulk(value: bytes) -> bytes:
    """A bulk string of the protocol."""
    return b"$%d\r\n%s\r\n" % (len(value), value)


def exchange(client: "redis.Redis", packed: Iterable[Packed], count: int) -> list[Any]:
    """The replies to packed commands, in their order, in one round trip.

    To a single store commands are sent one by one as they are made, so that it works on the first
    while the next is packed. A connection that the store has closed meanwhile is opened again; one
    on which anything fails is closed, as replies may still be on their way.

    Args:
        client: of `open_store`; its timeouts bound the call, which is not tried again.
        packed: each element holds as many commands as any other.
        count: how many commands there are in all.

    Raises:
        redis.RedisError: the store does not answer, or refuses a command. If a cluster has moved
            the slot, the next call knows where to.
    """
    if isinstance(client, LazyCluster):
        return _exchange_with_cluster(client.connected(), list(packed), count)
    with _Exchange(client) as exchanging:
        exchanging.send(commands for _, commands in packed)
        return exchanging.receive(count)


class _Exchange:
    """A connection out of a client's pool, given back when all replies have been read."""

    def __init__(self, client: "redis.Redis") -> None:
        self._pool = client.connection_pool
        self._connection = self._pool.get_connection()

    def __enter__(self) -> "_Exchange":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self._connection.disconnect()
        self._pool.release(self._connection)

    def send(self, commands: Iterable[bytes]) -> None:
        self._connection.send_packed_command(commands)

    def receive(self, count: int) -> list[Any]:
        return [self._connection.read_response() for _ in range(count)]


def _exchange_with_cluster(
    cluster: "RedisCluster", packed: Sequence[Packed], count: int
) -> list[Any]:
    import redis
    from redis.exceptions import RedisClusterException

    try:
        return _ask_nodes(cluster, packed, count)
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.AskError) as error:
        # A node has gone or a slot has moved. Should the slots not be told now, the error stands,
        # and the next one asks again.
        with suppress(redis.RedisError, RedisClusterException):
            cluster.nodes_manager.initialize()
        if isinstance(error, redis.exceptions.MovedError):
            # The node that told the slots may not have heard of the move; this one knows.
            cluster.nodes_manager.move_slot(error)
        raise
    except RedisClusterException as error:  # redis-py does not count it as its own
        raise redis.ConnectionError(str(error)) from error


def _ask_nodes(cluster: "RedisCluster", packed: Sequence[Packed], count: int) -> list[Any]:
    """Sends to every node before the first reply is waited for."""
    from redis.crc import key_slot

    manager = cluster.nodes_manager
    nodes: dict[str, redis.Redis] = {}
    places: dict[str, list[int]] = {}
    for place, (key, _) in enumerate(packed):
        node = manager.get_node_from_slot(key_slot(key))
        if node.name not in nodes:
            nodes[node.name], places[node.name] = cluster.get_redis_connection(node), []
        places[node.name].append(place)
    each = count // max(1, len(packed))
    replies: list[Any] = [None] * count
    with ExitStack() as stack:
        exchanges = {name: stack.enter_context(_Exchange(node)) for name, node in nodes.items()}
        for name, exchanging in exchanges.items():
            exchanging.send(packed[place].commands for place in places[name])
        for name, exchanging in exchanges.items():
            for place in places[name]:
                replies[place * each : (place + 1) * each] = exchanging.receive(each)
    return replies
