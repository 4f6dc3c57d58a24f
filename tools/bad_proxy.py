"""A proxy that behaves as a bad network does, for trying downloads: it stalls and it resets.

Run `python -m tools.bad_proxy --stall 60 --reset 5`, and set HTTP_PROXY and HTTPS_PROXY to the
address that it prints. Both plain requests and CONNECT are passed on; nothing is decrypted.
"""

import argparse
import signal
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 65_536
_HEAD_LIMIT = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class BadProxy:
    """Serves on a free port of 127.0.0.1 while it is entered.

    Every connection stalls once, after `stall_after` bytes from the server (or at its end, if that
    comes before). Of the connections, every `reset`-th is reset after as many bytes; they are
    counted in the order in which they come.

    Attributes:
        stall: seconds.
        reset: one connection in how many; 0 is none.
        stall_after: bytes from the server until the stall or the reset.
        connections: how many came.
        stalls: how many have stalled until now.
        resets: how many have been reset until now.
    """

    stall: float
    reset: int
    stall_after: int = 20_000
    port: int = 0
    connections: int = 0
    stalls: int = 0
    resets: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._listener.close()

    @property
    def url(self) -> str:
        """What HTTP_PROXY and HTTPS_PROXY are set to."""
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed at the end
            while True:
                client, _ = self._listener.accept()
                with self._counting:
                    self.connections += 1
                    number = self.connections
                threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with client, suppress(OSError):
            head = _read_head(client)
            method, target, version = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            address = urlsplit(f"//{target}" if method == "CONNECT" else target)
            with socket.create_connection((address.hostname, address.port or 80)) as server:
                if method == "CONNECT":
                    client.sendall(f"{version} 200 OK\r\n\r\n".encode())
                else:
                    server.sendall(_to_origin(head))
                self._pass_on(client, server, number)

    def _pass_on(self, client: socket.socket, server: socket.socket, number: int) -> None:
        """Both ways until one side ends, as badly as it was asked for."""
        passed, stalled = 0, False
        while True:
            # One thread for both: a socket that another still reads is not closed by closing it.
            for source in wait([client, server]):
                data = source.recv(_CHUNK)
                if source is server:
                    passed += len(data)
                    if not stalled and (passed > self.stall_after or not data):
                        stalled = True
                        if self.reset and number % self.reset == 0:
                            self._reset(client)
                            return
                        self._pause()
                if not data:
                    return
                (client if source is server else server).sendall(data)

    def _pause(self) -> None:
        with self._counting:
            self.stalls += 1
        self._ending.wait(self.stall)

    def _reset(self, client: socket.socket) -> None:
        with self._counting:
            self.resets += 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        client.close()


def _read_head(client: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(_CHUNK)
        if not data or len(head) > _HEAD_LIMIT:
            raise ConnectionError("no request came")
        head += data
    return head


def _to_origin(head: bytes) -> bytes:
    """A request as the server itself gets it: a path, and one request a connection."""
    request, *fields = head.split(b"\r\n")
    method, target, version = request.split(b" ")
    path = urlsplit(target)._replace(scheme=b"", netloc=b"").geturl() or b"/"
    kept = [line for line in fields if not line.lower().startswith((b"connection:", b"proxy-"))]
    return b"\r\n".join([b" ".join([method, path, version]), b"Connection: close", *kept])


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until it is interrupted, and says at the end what it did."""
    parser = argparse.ArgumentParser(prog="python -m tools.bad_proxy", description=__doc__)
    parser.add_argument("--stall", type=float, default=60, help="seconds, once a connection")
    parser.add_argument("--reset", type=int, default=5, help="one connection in so many")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(arguments)
    with BadProxy(options.stall, options.reset, port=options.port) as proxy:
        sys.stdout.write(f"{proxy.url}\n")
        sys.stdout.flush()
        for ending in (signal.SIGINT, signal.SIGTERM):  # also where a shell lets it ignore them
            signal.signal(ending, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        sys.stdout.write(
            f"{proxy.connections} connections, {proxy.stalls} stalls, {proxy.resets} resets\n"
        )


if __name__ == "__main__":
    main()
