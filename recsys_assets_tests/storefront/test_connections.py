"""What a connection may take, of a real server."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI

from recsys_assets.storefront.connections import ConnectionLimits
from recsys_assets.storefront.web import Bind, _config
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.waiting import LIMIT, until

pytestmark = pytest.mark.integration
GET = b"GET /things HTTP/1.1\r\nHost: shop\r\n"
SOON = 0.05


@contextmanager
def served(keep_alive_seconds=75, **limits):
    """The port of a service that answers at /things, and does not read what is posted there."""
    app = FastAPI()
    app.add_api_route("/things", lambda: "things", methods=["GET"])
    bind = Bind("127.0.0.1", free_port(), 0, keep_alive_seconds, ConnectionLimits(**limits))
    server = uvicorn.Server(_config(app, bind))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        yield bind.port
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        yield connection


def all_that_comes(connection):
    """Until the other side closes it; it may do so while we are still sending."""
    found = b""
    try:
        while part := connection.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def test_a_head_that_is_too_large_is_refused():
    with served(head_bytes=1000) as port, connected(port) as connection:
        connection.sendall(GET + b"X-Large: " + b"x" * 2000)
        assert all_that_comes(connection).startswith(b"HTTP/1.1 400")


def test_a_head_that_does_not_come_whole_is_not_waited_for():
    with served(head_seconds=SOON) as port, connected(port) as connection:
        connection.sendall(GET)
        assert all_that_comes(connection) == b""


def test_bytes_that_trickle_in_win_no_time():
    with served(head_seconds=SOON) as port, connected(port) as connection:
        connection.settimeout(SOON / 10)

        def given_up():
            try:
                connection.sendall(b"G")
                return connection.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        assert any(given_up() for _ in range(10_000))


def test_a_body_that_nobody_reads_is_not_waited_for():
    with served(head_seconds=SOON) as port, connected(port) as connection:
        connection.sendall(b"POST /things HTTP/1.1\r\nHost: shop\r\nContent-Length: 9999\r\n\r\n")
        assert b"405" in connection.recv(65_536)
        connection.sendall(b"some of it")
        assert b"HTTP" not in all_that_comes(connection)


def test_a_connection_lives_on_when_such_a_body_has_come_to_its_end():
    with served(head_seconds=SOON) as port, connected(port) as connection:
        connection.sendall(b"POST /things HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\n")
        assert b"405" in connection.recv(65_536)
        connection.sendall(b"body")
        time.sleep(2 * SOON)
        connection.sendall(GET + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_and_is_closed_when_it_was_idle_for_as_long_as_is_set():
    with served(keep_alive_seconds=1, head_seconds=LIMIT) as port, connected(port) as connection:
        connection.sendall(b"POST /things HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\n")
        assert b"405" in connection.recv(65_536)
        connection.sendall(b"body")
        assert all_that_comes(connection) == b""


def test_requests_beyond_the_first_have_their_own_time():
    with served(head_seconds=SOON) as port, connected(port) as connection:
        for _ in range(3):
            time.sleep(2 * SOON)
            connection.sendall(GET + b"\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_an_idle_connection_is_kept_for_as_long_as_is_set():
    with served(keep_alive_seconds=1, head_seconds=SOON) as port, connected(port) as connection:
        connection.sendall(GET + b"\r\n")
        answer = all_that_comes(connection)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" not in answer.lower()


def test_connections_beyond_those_that_it_may_hold_are_closed():
    with served(most=1) as port, connected(port) as first, connected(port) as second:
        assert all_that_comes(second) == b""
        first.sendall(GET + b"Connection: close\r\n\r\n")
        assert all_that_comes(first).startswith(b"HTTP/1.1 200")
