"""As much of gRPC over HTTP/2 as a load generator needs, for a tenth of the library's CPU time.

The two cores are shared with the server under load: what the generator takes, the server lacks.
Python's gRPC library takes 0.7 ms of CPU a call on them. One connection here sends unary calls of
one method and takes what comes back. Headers are indexed after the first call (RFC 7541), the
server is asked for none (a table of size 0), and windows are opened wide (RFC 9113), so that each
call is one write and one read. What a server may do beyond that is refused by `BrokenConnection`.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

OK = 0
DEADLINE_EXCEEDED = 4
UNAVAILABLE = 14

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_FRAME = struct.Struct(">HBBBI")  # length (16 + 8 bits), type, flags, stream
_FRAME_BYTES = 9
_PREFIX_BYTES = 5  # of a gRPC message: compressed or not, and its length
_FIRST_WINDOW = 65_535
_WIDEST_WINDOW = 2**31 - 1
_REOPEN_BYTES = 2**28
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_RECEIVE_BYTES = 1 << 16
_CONNECT_SECONDS = 5.0
_STATIC_HEADERS = 61


class BrokenConnection(ConnectionError):
    """The server has closed the connection, or speaks in a way that is not understood here."""


@dataclass(slots=True)
class Call:
    """One call in flight or done: `number` is the caller's; `status` is gRPC's code."""

    number: int
    status: int = -1
    message: str = ""
    response: bytes = b""


class Connection:
    """An open connection for unary calls of one method.

    Args:
        address: host:port.
        method: full path of the method.
        deadline_ms: sent along with each call.
    """

    def __init__(self, address: str, method: str, deadline_ms: int) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), _CONNECT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._first_headers, self._headers = _request_headers(address, method, deadline_ms)
        self._stream = 1
        self._calls: dict[int, Call] = {}
        self._rest = b""
        self._window = _FIRST_WINDOW
        self._received = 0
        self._known_headers: dict[bytes, dict[bytes, bytes]] = {}
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _WIDEST_WINDOW)
        wider = struct.pack(">I", _WIDEST_WINDOW - _FIRST_WINDOW)
        self._socket.sendall(
            _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, wider)
        )

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def send(self, number: int, message: bytes) -> None:
        """Begins a call with a serialised message.

        Raises:
            BrokenConnection: the server does not read what it is sent.
            OSError: the connection broke.
        """
        stream, self._stream = self._stream, self._stream + 2
        headers = self._headers if stream > 1 else self._first_headers
        body = b"\0" + len(message).to_bytes(4, "big") + message
        if self._window < len(body):
            raise BrokenConnection("the server does not read what it is sent")
        self._window -= len(body)
        self._calls[stream] = Call(number)
        self._socket.sendall(
            _frame(_HEADERS, _END_HEADERS, stream, headers)
            + _frame(_DATA, _END_STREAM, stream, body)
        )

    def receive(self) -> Iterator[Call]:
        """Takes what has come and yields the calls that it ends; call it when readable.

        Raises:
            BrokenConnection: the server has ended the connection.
        """
        try:
            received = self._socket.recv(_RECEIVE_BYTES)
        except OSError as error:
            raise BrokenConnection(f"the connection broke: {error}") from None
        if not received:
            raise BrokenConnection("the server has closed the connection")
        data, position = self._rest + received, 0
        while len(data) - position >= _FRAME_BYTES:
            high, low, kind, flags, stream = _FRAME.unpack_from(data, position)
            begin = position + _FRAME_BYTES
            end = begin + (high << 8 | low)
            if end > len(data):
                break
            ended = self._take(kind, flags, stream, data[begin:end])
            if ended is not None:
                yield ended
            position = end
        self._rest = data[position:]

    def abandon(self) -> list[Call]:
        """Closes the connection; returns the calls that have no answer."""
        self._socket.close()
        calls, self._calls = list(self._calls.values()), {}
        return calls

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> Call | None:
        if kind == _DATA:
            self._take_data(stream, flags, payload)
        elif kind == _HEADERS:
            return self._take_headers(stream, flags, payload)
        elif kind == _RESET:
            return self._end(stream, UNAVAILABLE, f"reset by the server: {payload.hex()}")
        elif kind == _GOAWAY:
            raise BrokenConnection(f"the server goes away: {payload[8:].decode(errors='replace')}")
        else:
            self._take_control(kind, flags, stream, payload)
        return None

    def _take_data(self, stream: int, flags: int, payload: bytes) -> None:
        if flags & _PADDED:
            raise BrokenConnection("a padded frame came, which is not expected of gRPC")
        self._received += len(payload)
        if self._received > _REOPEN_BYTES:
            reopened = struct.pack(">I", self._received)
            self._socket.sendall(_frame(_WINDOW, 0, 0, reopened))
            self._received = 0
        call = self._calls.get(stream)
        if call is not None:
            call.response += payload

    def _take_headers(self, stream: int, flags: int, block: bytes) -> Call | None:
        if not flags & _END_HEADERS or flags & (_PADDED | _PRIORITY):
            raise BrokenConnection("headers came in a form that is not expected of gRPC")
        if not flags & _END_STREAM:
            return None
        found = self._known_headers.get(block)
        if found is None:
            found = self._known_headers[block] = dict(read_headers(block))
        message = unquote(found.get(b"grpc-message", b"").decode(errors="replace"))
        return self._end(stream, int(found.get(b"grpc-status", b"2")), message)

    def _take_control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            answer = payload if kind == _PING else b""
            self._socket.sendall(_frame(kind, _ACK, 0, answer))

    def _end(self, stream: int, status: int, message: str) -> Call | None:
        call = self._calls.pop(stream, None)
        if call is not None:
            call.status, call.message = status, message
            call.response = call.response[_PREFIX_BYTES:]
        return call


def read_headers(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and values of a header block by a peer that keeps no table (RFC 7541).

    Names of the static table are left empty: none of them matters here.

    Raises:
        BrokenConnection: it refers to a table, or is compressed with Huffman's code.
    """
    position = 0
    while position < len(block):
        first = block[position]
        if first & 0x80:
            index, position = _integer(block, position, 7)
            if index > _STATIC_HEADERS:
                raise BrokenConnection("a header refers to a table that was not asked for")
        elif first & 0xE0 == 0x20:
            _, position = _integer(block, position, 5)
        else:
            index, position = _integer(block, position, 6 if first & 0x40 else 4)
            name = b""
            if not index:
                name, position = _text(block, position)
            value, position = _text(block, position)
            yield name, value


def _integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    """A number with a prefix of some bits, and where it ends."""
    largest = (1 << bits) - 1
    value = block[position] & largest
    position += 1
    if value < largest:
        return value, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position


def _text(block: bytes, position: int) -> tuple[bytes, int]:
    if block[position] & 0x80:
        raise BrokenConnection("a header is compressed, which is not expected of gRPC")
    length, position = _integer(block, position, 7)
    return block[position : position + length], position + length


def _request_headers(address: str, method: str, deadline_ms: int) -> tuple[bytes, bytes]:
    """Header blocks of the first call, which fills the server's table, and of all later ones."""
    post_http = b"\x83\x86"
    literals = (
        b"\x44" + _literal(method),
        b"\x41" + _literal(address),
        b"\x5f" + _literal("application/grpc"),
        b"\x40" + _literal("te") + _literal("trailers"),
        b"\x40" + _literal("grpc-timeout") + _literal(f"{deadline_ms}m"),
    )
    newest = _STATIC_HEADERS + 1
    indexed = [0x80 | (newest + age) for age in reversed(range(len(literals)))]
    return post_http + b"".join(literals), post_http + bytes(indexed)


def _literal(value: str) -> bytes:
    encoded = value.encode()
    if len(encoded) >= 127:
        raise ValueError(f"a header of {len(encoded)} bytes is too long: {value[:40]!r}...")
    return bytes([len(encoded)]) + encoded


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _FRAME.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload
