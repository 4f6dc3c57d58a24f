"""Fixtures that several folders of tests share: real services, started once and only if asked."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_assets.serving.processes import Address
from recsys_assets.serving.valkey import Valkey


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
def spark() -> Iterator[object]:
    """One Spark session for all tests."""
    from recsys_assets.features.spark_session import spark_session

    with spark_session(memory="1g", short=True) as session:
        yield session
