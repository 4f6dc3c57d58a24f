"""Look-ups of names: however long one takes, nobody waits for it beyond the time limit."""

import socket
import threading
from unittest.mock import Mock

import pytest
import redis

from recsys_assets.storage import online_store
from recsys_assets.storage.online_store import NamedHost, NamedTlsHost, Names, open_store
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.waiting import reached, until


class NameServer:
    """Knows one name; is silent until told to answer."""

    def __init__(self, address="127.0.0.1"):
        self.address, self.asked = address, 0
        self.answers = threading.Event()
        self.answers.set()

    def getaddrinfo(self, host, port, *_, **__):
        if host != "store.shop":
            return _SYSTEM(host, port, type=socket.SOCK_STREAM)
        self.asked += 1
        assert reached(self.answers)
        if not self.address:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.address, 0))]


_SYSTEM = socket.getaddrinfo


@pytest.fixture
def server(monkeypatch):
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    monkeypatch.setattr(online_store, "_NAMES", Names())
    yield server
    server.answers.set()


@pytest.fixture
def aged(monkeypatch):
    """Whatever was looked up is to be looked up again."""
    monkeypatch.setattr(online_store, "_FRESH_SECONDS", -1.0)


def test_a_name_is_looked_up_once_for_many_connections(server):
    names = Names()
    assert [names.addresses("store.shop", 10.0) for _ in range(3)] == [["127.0.0.1"]] * 3
    assert server.asked == 1


def test_an_address_is_not_looked_up(server):
    assert Names().addresses("127.0.0.1", 10.0) == ["127.0.0.1"]
    assert server.asked == 0


def test_nobody_waits_for_a_silent_name_server(server):
    server.answers.clear()
    names = Names()
    for _ in range(3):
        with pytest.raises(TimeoutError, match=r"store\.shop was not resolved within 0\.01 s"):
            names.addresses("store.shop", 0.01)
    server.answers.set()
    assert names.addresses("store.shop", 10.0) == ["127.0.0.1"]
    assert server.asked == 1


def test_a_look_up_that_cannot_begin_is_tried_again(server, monkeypatch):
    names, start = Names(), threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("no thread")))
    with pytest.raises(OSError, match=r"store\.shop cannot be looked up: no thread"):
        names.addresses("store.shop", 10.0)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert names.addresses("store.shop", 10.0) == ["127.0.0.1"]


def test_what_cannot_be_a_name_is_an_error_each_time():
    names = Names()
    for _ in range(2):
        with pytest.raises(OSError, match="label"):
            names.addresses(f"{'x' * 64}.shop", 10.0)


def test_what_was_known_last_is_used_while_it_is_silent(server, aged):
    names = Names()
    names.addresses("store.shop", 10.0)
    server.answers.clear()
    server.address = "127.0.0.2"
    assert names.addresses("store.shop", 0.01) == ["127.0.0.1"]
    server.answers.set()
    until(lambda: names.addresses("store.shop", 10.0) == ["127.0.0.2"])


def test_a_name_that_is_gone_is_known_for_a_while_and_one_that_never_was_is_an_error(server, aged):
    names = Names()
    server.address = ""
    with pytest.raises(socket.gaierror):
        names.addresses("store.shop", 10.0)
    server.address = "127.0.0.1"
    names.addresses("store.shop", 10.0)
    server.address = ""
    assert names.addresses("store.shop", 10.0) == ["127.0.0.1"]


def test_after_a_failed_connection_a_name_is_looked_up_anew(server):
    port = free_port()
    client = open_store(
        f"redis://store.shop:{port}/0", socket_connect_timeout=1.0, socket_timeout=1.0
    )
    for asked in (1, 2):
        with pytest.raises(redis.ConnectionError):
            client.ping()
        assert server.asked >= asked


def test_a_call_fails_within_its_limit_while_the_name_server_is_silent(server):
    server.answers.clear()
    client = open_store("redis://store.shop:1/0", socket_connect_timeout=0.02, socket_timeout=0.02)
    with pytest.raises(redis.TimeoutError):
        client.ping()


def test_a_certificate_is_held_against_the_name(server, monkeypatch):
    """The address that is connected to is nothing that a certificate names."""
    found = []

    def wrap(connection, connected):
        found.append((connection.host, connected.getpeername()[0]))
        return connected

    monkeypatch.setattr(redis.SSLConnection, "_wrap_socket_with_ssl", wrap)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connection = NamedTlsHost(
            host="store.shop", port=listening.getsockname()[1], socket_connect_timeout=1.0
        )
        connection._connect().close()
    assert found == [("store.shop", "127.0.0.1")]


@pytest.mark.parametrize(
    ("url", "kind"),
    [("redis://store.shop/0", NamedHost), ("rediss://store.shop/0", NamedTlsHost)],
)
def test_every_client_of_the_store_connects_so(url, kind):
    assert open_store(url).connection_pool.connection_class is kind


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis+cluster://127.0.0.1:1/0", NamedHost),
        ("rediss+cluster://127.0.0.1:1/0", NamedTlsHost),
    ],
)
def test_so_does_every_client_of_a_cluster(url, kind, monkeypatch):
    used = []

    def connect(connection):
        used.append(type(connection))
        raise OSError("refused")

    monkeypatch.setattr(kind, "_connect", connect)
    client = open_store(url, socket_connect_timeout=1.0, socket_timeout=1.0)
    with pytest.raises(redis.ConnectionError):
        client.ping()
    assert set(used) == {kind}


@pytest.mark.integration
def test_a_store_by_its_name(server, valkey_url):
    named = valkey_url.replace("127.0.0.1", "store.shop")
    with open_store(named, socket_connect_timeout=1.0, socket_timeout=1.0) as client:
        assert client.ping()
    assert server.asked == 1
