import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from recsys_assets.serving import services
from recsys_assets.settings import Settings, load_settings


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def settings_in(home: Path) -> Settings:
    """Settings of a deployment of its own: a new home, on free ports."""
    store, http, grpc, metrics = free_ports(4)
    return load_settings(
        {
            "RECSYS_HOME": str(home),
            "RECSYS_ONLINE_STORE_URL": f"redis://127.0.0.1:{store}/0",
            "RECSYS_TRITON_HTTP": f"127.0.0.1:{http}",
            "RECSYS_TRITON_GRPC": f"127.0.0.1:{grpc}",
            "RECSYS_TRITON_METRICS": f"127.0.0.1:{metrics}",
        }
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path / "home")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings whose Valkey and Triton run, shared by the tests of a module."""
    settings = settings_in(tmp_path_factory.mktemp("home"))
    try:
        services.up(settings)
        yield settings
    finally:
        services.down(settings)
