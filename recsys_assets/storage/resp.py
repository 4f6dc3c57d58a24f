"""Packed commands to Redis or Valkey, any number of them in one round trip.

redis-py packs a command argument by argument, which on the path of a request takes longer than
the store's answer. Here the caller packs, in the protocol's own form (RESP,
https://valkey.io/topics/protocol/). Runs in both environments.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis


def bulk(value: bytes) -> bytes:
    """A bulk string of the protocol."""
    return b"$%d\r\n%s\r\n" % (len(value), value)


def exchange(client: "redis.Redis", commands: Iterable[bytes], count: int) -> list[Any]:
    """The replies to packed commands, in one round trip.

    Commands are sent one by one as they are made, so that the store works on the first while the
    next is packed. A connection that the store has closed meanwhile is opened again; one on which
    anything fails is closed, as replies may still be on their way.

    Args:
        client: its timeouts bound the call; it is not tried again.
        commands: packed commands, one or more to an element.
        count: how many commands there are in all.

    Raises:
        redis.RedisError: the store does not answer, or refuses a command.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_packed_command(commands)
        return [connection.read_response() for _ in range(count)]
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
