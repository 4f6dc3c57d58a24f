import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_assets.releases.release import Releases
from recsys_assets.rollout.single_server import SingleServer
from recsys_assets.services import deployment
from recsys_assets.settings import Settings, load_settings
from recsys_assets.triton import model_processes
from recsys_assets.triton.server import TritonServer
from recsys_assets_tests.conftest import free_port


def free_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


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


def kill_processes(settings: Settings, release: int, count: int | None = None) -> None:
    """Kills model processes of a release, all of them if not told how many."""
    server = TritonServer.of(settings).daemon.pid
    assert server is not None
    victims = sorted(model_processes.living(server, release))[:count]
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path / "home")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings whose Valkey and Triton run, shared by the tests of a module.

    Its model sheds nothing: how slow it is matters to no test.
    """
    settings = settings_in(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RECSYS_BATCH_BUDGET_MS", "1000000")
        try:
            deployment.up(settings)
            yield settings
        finally:
            deployment.down(settings)


@pytest.fixture(scope="module")
def releases(running: Settings) -> Releases:
    """The releases of the running deployment."""
    return deployment.releases(running)


@pytest.fixture(scope="module")
def live(running: Settings) -> SingleServer:
    """Its Triton, as promotion sees it."""
    return deployment.embedded_server(running)
