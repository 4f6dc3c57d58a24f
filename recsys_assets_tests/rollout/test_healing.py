"""One of two model processes dies under load, for real, and the watchdog brings it back."""

import os
import signal
import threading
import urllib.request
from collections import Counter
from contextlib import contextmanager

import pytest
from tritonclient.utils import InferenceServerException

from recsys_assets.releases.release import Reason
from recsys_assets.rollout.healing import reconcile
from recsys_assets.rollout.promotion import promote
from recsys_assets.rollout.watch_metrics import WatchMetrics
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.services import deployment
from recsys_assets.services.online_store_metrics import OnlineStoreMetrics
from recsys_assets.services.watchdog import heal_services, watch
from recsys_assets.triton import model_processes
from recsys_assets.triton.client import RecommendClient
from recsys_assets.triton.server import TritonServer
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.serving.twin_release import PROCESSES, publish_twin_release

BECAUSE = Reason("a test", "pytest")
AT = 1_506_816_000


@pytest.fixture
def server_pid(running):
    return TritonServer.of(running).daemon.pid


@pytest.fixture(scope="module")
def first(running, releases):
    """A release with none before it, live at first."""
    live = deployment.embedded_server(running)
    return promote(releases, live, publish_twin_release(releases), BECAUSE).release


@pytest.fixture(scope="module")
def healed(running, first):
    """Before another release comes: pids before, what was healed at two looks, pids afterwards."""
    pid = TritonServer.of(running).daemon.pid
    before = kill_one(pid, first)
    faults = heal_services(running), heal_services(running)
    return before, faults, model_processes.living(pid, first)


@pytest.fixture
def second(running, releases, healed):
    """A release with one before it, live."""
    live = deployment.embedded_server(running)
    return promote(releases, live, publish_twin_release(releases), BECAUSE).release


@contextmanager
def traffic(running):
    """Two clients that ask all the time; yields what became of their requests."""
    outcomes, done = Counter(), threading.Event()

    def ask():
        with RecommendClient(running.triton_grpc, probe=True) as client:
            while not done.wait(0.01):
                try:
                    outcomes[f"release {client.recommend('ann', AT).release}"] += 1
                except InferenceServerException as error:
                    outcomes[error.message()] += 1

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield outcomes
    finally:
        done.set()
        for client in clients:
            client.join()


def kill_one(server_pid, release):
    """Kills one of the two processes; returns both pids."""
    pids = model_processes.living(server_pid, release)
    assert len(pids) == PROCESSES
    os.kill(min(pids), signal.SIGKILL)
    return pids


@pytest.mark.integration
class TestOneOfTwoProcessesDies:
    def test_a_first_release_is_loaded_anew(self, first, healed):
        before, faults, after = healed
        fault = f"release {first} failed: 1 of {PROCESSES} model processes are dead"
        assert faults == ([fault], [])
        assert len(after) == PROCESSES
        assert not after & before

    def test_under_load_only_what_the_dead_one_took_fails(
        self, running, releases, second, server_pid
    ):
        earlier = releases.promoted().previous
        with traffic(running) as outcomes:
            before = kill_one(server_pid, second)
            (fault,) = heal_services(running)
            assert heal_services(running) == []
        assert "model processes are dead" in fault
        after = model_processes.living(server_pid, second)
        assert len(after) == PROCESSES
        assert not after & before
        failed = {o for o in outcomes if not o.startswith("release")}
        assert all("is not healthy" in message for message in failed)
        assert set(outcomes) - failed <= {f"release {earlier}", f"release {second}"}

    def test_metrics_tell_of_it(self, running, second, server_pid):
        metrics, port = WatchMetrics(), free_port()
        OnlineStoreMetrics(running.online_store_url, metrics.registry)
        metrics.serve(port)
        kill_one(server_pid, second)
        lines = watch(running, 0.0, lambda _: False, metrics)
        assert "healed: " in next(lines)
        assert heal_services(running, metrics) == []
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            told = dict(
                line.rsplit(" ", 1)
                for line in answer.read().decode().splitlines()
                if not line.startswith("#")
            )
        assert float(told['recsys_healed_total{fault="process"}']) == 1
        assert float(told['recsys_healed_total{fault="server"}']) == 0
        assert float(told["recsys_probe_up"]) == float(told["recsys_valkey_up"]) == 1
        assert float(told["recsys_probe_release"]) == float(told["recsys_promoted_release"])
        assert float(told["recsys_model_processes"]) == PROCESSES
        assert float(told["recsys_model_processes_wanted"]) == PROCESSES
        assert float(told["recsys_valkey_memory_bytes"]) > 0


@pytest.mark.integration
class TestNoFault:
    def test_requests_that_are_wrong_do_not_look_like_one(self, running, second, server_pid):
        with RecommendClient(running.triton_grpc, probe=True) as client:
            for _ in range(5):
                with pytest.raises(InferenceServerException, match="k is negative"):
                    client.recommend("ann", AT, k=-1)
        before = model_processes.living(server_pid, second)
        assert heal_services(running) == []
        assert model_processes.living(server_pid, second) == before

    def test_without_a_promoted_release_there_is_nothing_to_heal(self, settings):
        live = deployment.embedded_server(settings)
        assert reconcile(deployment.releases(settings), live) is None


class TestWatch:
    def test_what_cannot_be_healed_is_said_once_and_counted_every_time(self, settings, monkeypatch):
        def fail(*_):
            raise ServiceError("no server anywhere")

        monkeypatch.setattr("recsys_assets.services.watchdog.heal_services", fail)
        metrics, looks = WatchMetrics(), []

        def told_at_the_third(_):
            looks.append(1)
            return len(looks) == 3

        said = list(watch(settings, 0.0, told_at_the_third, metrics))
        assert said == ["cannot be healed: no server anywhere"]
        assert metrics.registry.get_sample_value("recsys_unhealed_total") == 3
