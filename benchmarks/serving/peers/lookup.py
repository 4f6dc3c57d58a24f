"""The way from a stage to Feast's SDK and back: a compact message over an abstract Unix socket.

The case study calls the SDK within its Triton process. Feast 0.67 needs numpy 2, and Triton's
Python stub numpy 1, so here the SDK runs in a process of its own beside each lookup stage
(`feast_server.py`), as near as two processes can be: no HTTP, no JSON, no copy that is not
needed. What the way costs is measured: each reply says how long the SDK itself took.
Runs in both environments.

    request: uint32 bytes, then ids, UTF-8, separated by NUL
    reply:   uint32 bytes of the rest, float64 seconds in the SDK, uint32 bytes of texts,
             texts row by row, UTF-8, separated by NUL, "" = missing,
             numbers column by column, float64, NaN = missing
"""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LENGTH = struct.Struct("<I")
_REPLY = struct.Struct("<dI")
SEPARATOR = b"\0"


@dataclass(frozen=True)
class Found:
    """Features of n entities.

    Attributes:
        texts: the text features row by row, NUL between them: uint8 [bytes].
        numbers: float64 [columns, n].
        sdk_seconds: how long Feast took.
    """

    texts: np.ndarray
    numbers: np.ndarray
    sdk_seconds: float


class Lookup:
    """A connection to one lookup process, kept open.

    Args:
        name: of its abstract socket.
        numbers: how many number columns it serves.

    Raises:
        ConnectionError: nothing listens there.
    """

    def __init__(self, name: str, numbers: int) -> None:
        self._numbers = numbers
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(address(name))
        except ConnectionError:
            self._socket.close()
            raise

    def find(self, ids: Sequence[str]) -> Found:
        """Features of n entities, at least one.

        Raises:
            ConnectionError: the process has ended.
        """
        send(self._socket, SEPARATOR.join(value.encode() for value in ids))
        reply = receive(self._socket)
        if reply is None:
            raise ConnectionError("the Feast process has closed the connection: see its log")
        seconds, text_bytes = _REPLY.unpack_from(reply)
        start = _REPLY.size + text_bytes
        return Found(
            texts=np.frombuffer(reply, np.uint8, text_bytes, _REPLY.size),
            numbers=np.frombuffer(reply, np.float64, -1, start).reshape(self._numbers, len(ids)),
            sdk_seconds=seconds,
        )

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()


def pack(texts: bytes, numbers: np.ndarray, sdk_seconds: float) -> bytes:
    """A reply, without its length: joined texts, and numbers float64 [columns, n]."""
    return _REPLY.pack(sdk_seconds, len(texts)) + texts + numbers.tobytes()


def split(texts: np.ndarray, columns: int) -> list[np.ndarray]:
    """Text columns, object [n] each, of texts uint8 [bytes] as found."""
    if not columns:
        return []
    values = texts.tobytes().decode().split("\0")
    return [np.array(values[column::columns], dtype=object) for column in range(columns)]


def address(name: str) -> bytes:
    """Linux's abstract namespace: no file is left behind, and no path is too long."""
    return b"\0" + name.encode()


def send(connection: socket.socket, message: bytes) -> None:
    """One message, its length first."""
    connection.sendall(_LENGTH.pack(len(message)) + message)


def receive(connection: socket.socket) -> bytearray | None:
    """One message; None once the other side has closed the connection."""
    header = _exactly(connection, _LENGTH.size)
    return None if header is None else _exactly(connection, _LENGTH.unpack(header)[0])


def _exactly(connection: socket.socket, count: int) -> bytearray | None:
    message = bytearray(count)
    view, position = memoryview(message), 0
    while position < count:
        received = connection.recv_into(view[position:])
        if not received:
            return None
        position += received
    return message
