"""A server in front of an S3 server that counts requests and makes some of them fail."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from recsys_assets_tests.waiting import LIMIT

Fault = Callable[["Handler"], bool]
"""Answers a request wrongly and returns True, or leaves it to the server."""

_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


class Handler(BaseHTTPRequestHandler):
    """One request: passed on, unless a fault takes it."""

    protocol_version = "HTTP/1.1"
    server: "Proxy"

    def _any(self) -> None:
        self.body = self._received()
        self.server.seen.append((self.command, self.path))
        if not self.server.fault(self):
            self.pass_on()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any  # noqa: N815

    def pass_on(
        self, until: int | None = None, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Gives the server's answer, or only its first bytes before the connection breaks.

        `meanwhile` is what happens between the server's answer and its arrival.
        """
        status, headers, data = self.ask()
        meanwhile()
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        length = {n.lower(): v for n, v in headers}.get("content-length", len(data))
        self.send_header("Content-Length", str(length if self.command == "HEAD" else len(data)))
        self.end_headers()
        self.wfile.write(data if until is None else data[:until])
        if until is not None:
            self.reset()

    def ask(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """The server's answer."""
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=LIMIT)
        try:
            upstream.request(self.command, self.path, self.body, dict(self.headers))
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def refuse(self, status: int, code: str) -> None:
        """Answers as S3 does when it does not do what was asked for."""
        text = f"<Error><Code>{code}</Code><Message>made up</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def reset(self) -> None:
        """Breaks the connection."""
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def _received(self) -> bytes:
        if self.headers.get("Expect") == "100-continue":
            del self.headers["Expect"]
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            raise AssertionError("no client here sends chunks without their length")
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle(self) -> None:
        """Clients that are killed or give up are part of the game."""
        try:
            super().handle()
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True

    def finish(self) -> None:
        """The same at the end."""
        try:
            super().finish()
        except (ValueError, OSError):
            return

    def log_message(self, *_args: object) -> None:
        """Is silent."""


class Proxy(ThreadingHTTPServer):
    """Counts what is asked for, and applies one fault at a time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = urlsplit(upstream).netloc
        self.seen: list[tuple[str, str]] = []
        self.fault: Fault = no_fault
        self.gone_on = threading.Event()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"


def no_fault(_request: Handler) -> bool:
    """All is well."""
    return False


def some(times: int, fault: Fault, only: Callable[[Handler], bool] = lambda _: True) -> Fault:
    """The first requests of a kind fail, later ones do not."""
    lock, left = threading.Lock(), [times]

    def taken(request: Handler) -> bool:
        with lock:
            if not only(request) or not left[0]:
                return False
            left[0] -= 1
        return fault(request)

    return taken


def refused(status: int, code: str) -> Fault:
    """The server refuses."""

    def fault(request: Handler) -> bool:
        request.refuse(status, code)
        return True

    return fault


def cut(until: int) -> Fault:
    """The connection is reset after some bytes of the answer."""

    def fault(request: Handler) -> bool:
        request.pass_on(until)
        return True

    return fault


def answer_lost(request: Handler) -> bool:
    """The server does what it is asked for, and the answer does not arrive."""
    request.ask()
    request.reset()
    return True


def silent(request: Handler) -> bool:
    """No answer comes for as long as the test lasts."""
    request.server.gone_on.wait(20)
    request.reset()
    return True


def stalled(until: int) -> Fault:
    """The answer stops after some bytes, and the connection stays open."""

    def fault(request: Handler) -> bool:
        status, headers, data = request.ask()
        request.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data[:until])
        request.wfile.flush()
        return silent(request)

    return fault


@contextmanager
def proxy_of(upstream: str) -> Iterator[Proxy]:
    """A running proxy."""
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.gone_on.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join()
