"""Fixtures that several folders of tests share: real services, started once and only if asked."""

import random
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from recsys_assets.runtime.processes import Address
from recsys_assets.services.valkey import Valkey

# Neither how long an example takes nor how soon it is made is a fault: no guess about speed.
hypothesis_settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("any machine")

pytest_plugins = ["recsys_assets_tests.serving.fixtures"]  # of a deployment with a release

_FIRST_OF_THE_KERNEL = 32_768  # net.ipv4.ip_local_port_range
_DRAW = random.SystemRandom()  # a random order seeds the other one alike in all workers
_SHARED = ("spark", "trained_shop", "valkey_cluster_url")  # dear: one worker has all their tests


@pytest.hookimpl(tryfirst=True)  # before a random order, where one is asked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups tests for pytest-xdist, and lets those begin first that may take longest."""
    groups: dict[str, float] = {}
    for item in items:
        assert isinstance(item, pytest.Function)
        group = _group(item)
        item.add_marker(pytest.mark.xdist_group(group))
        longest = item.get_closest_marker("timeout")
        weight = longest.args[0] if longest else float(bool(item.get_closest_marker("integration")))
        groups[group] = max(groups.get(group, 0.0), weight)
    items.sort(key=lambda item: -groups[_group(item)])


def _group(item: pytest.Function) -> str:
    """What one worker runs: all tests of a dear fixture, a module, or one test of services."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    for name in _SHARED:
        if name in item.fixturenames or name in parameters:  # some fixtures are asked for by name
            return name
    fixtures = item._fixtureinfo.name2fixturedefs.values()  # pytest 9.1 tells it nowhere else
    shared = any(one.scope in ("module", "package") for used in fixtures for one in used)
    if item.get_closest_marker("integration") and not shared:
        return item.nodeid
    return item.module.__name__


def free_port() -> int:
    """A loopback port that nothing uses.

    It is none of those that the kernel gives to outgoing connections, so that a server which is
    stopped on it can be started there again.
    """
    while True:
        port = _DRAW.randrange(20_000, _FIRST_OF_THE_KERNEL)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="session", autouse=True)
def _interrupts_end_processes() -> None:
    """Undoes what a shell does to jobs in the background: they ignore an interrupt.

    So would the processes started here, some of which Dagster ends by one.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """An embedded Valkey with the Bloom filter module, on a free port."""
    server = Valkey(Address("127.0.0.1", free_port()), Path(tmp_path_factory.mktemp("valkey")))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey_url(valkey: Valkey) -> str:
    """URL of the session's Valkey, emptied."""
    import redis

    url = f"redis://127.0.0.1:{valkey.address.port}/0"
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture(scope="session")
def valkey_cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Valkey cluster of three primaries and a replica, for all tests."""
    from recsys_assets_tests.valkey_cluster import valkey_cluster

    with valkey_cluster(tmp_path_factory.mktemp("valkey-cluster")) as cluster:
        yield cluster.url


@pytest.fixture
def s3_environment() -> Iterator[dict[str, str]]:
    """Environment of a process that finds an S3 server with the bucket `shop`, which is empty.

    For a process of its own: the S3 file system reads its environment once.
    """
    import boto3
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    s3_backends.reset()  # servers of one process share what they hold
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106
        ).create_bucket(Bucket="shop")
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
    finally:
        server.stop()


@pytest.fixture(scope="session")
def spark() -> Iterator[object]:
    """One Spark session for all tests."""
    from recsys_assets.features.spark_session import spark_session

    with spark_session(memory="1g", short=True) as session:
        yield session


@pytest.fixture(scope="session")
def trained_shop(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A tiny shop with both its models, trained once for all tests: nothing in it is changed."""
    from recsys_assets_tests.models_environment import train_shop

    return train_shop(tmp_path_factory.mktemp("trained-shop"))
