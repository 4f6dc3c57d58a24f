"""Real services on a machine that hardly gets round to them."""

from dataclasses import replace

import pyarrow as pa
import pytest

from recsys_assets.releases.release import Reason
from recsys_assets.rollout.canary import TemporaryServer, canaries, check_release
from recsys_assets.rollout.guard import Guard
from recsys_assets.rollout.model_control import load
from recsys_assets.rollout.promotion import promote_approved
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.services import deployment
from recsys_assets.triton.server import TritonServer
from recsys_assets_tests.serving.tiny_release import AT, publish_tiny_release
from recsys_assets_tests.slowed import slowed

pytestmark = pytest.mark.integration

_SHARE = 0.2
_TOO_SHORT = r"waited 0 s for Triton.*: raise RECSYS_WAIT_SECONDS if this machine is just slow"


@pytest.fixture(autouse=True)
def held(monkeypatch):
    """Whatever a test starts goes on for a fifth of the time."""
    with slowed(_SHARE) as environment:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        yield


def test_services_start_and_a_release_proves_itself(settings):
    try:
        assert [one.pid is not None for one in deployment.up(settings)] == [True, True]
        releases = deployment.releases(settings)
        releases.store.table("users").write(pa.table({"user_id": ["ann"]}))
        release = publish_tiny_release(releases)
        server = TemporaryServer(TritonServer.of(settings))
        report = check_release(releases, release, server, canaries({"ann": []}), AT)
        assert report.faulty == ()
        releases.approve(release)
        guard = Guard(5.0, ("ann",), settings.online_store_url)
        because = Reason("a test", "pytest")
        live = deployment.embedded_server(settings)
        assert promote_approved(releases, live, release, because, guard).release == release
    finally:
        deployment.down(settings)
    assert [one.pid for one in deployment.status(settings)] == [None, None]


def test_a_limit_that_is_too_short_is_named_and_leaves_nothing_behind(settings, monkeypatch):
    monkeypatch.setattr(TritonServer, "live", lambda _: False)  # as long as anybody waits for it
    impatient = TritonServer.of(replace(settings, wait_seconds=0))
    with pytest.raises(ServiceError, match=_TOO_SHORT):
        impatient.start()
    assert impatient.daemon.pid is None


def test_so_is_that_of_a_load(settings):
    triton = TritonServer.of(settings)
    try:
        triton.start()
        with pytest.raises(ServiceError, match=_TOO_SHORT):
            load(settings.triton_grpc, 1, seconds=0.001)
    finally:
        triton.stop()
