import json
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from recsys_assets.runtime.processes import Address, Daemon, ServiceError, StuckLoad
from recsys_assets.services import deployment
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import load_settings
from recsys_assets.triton.server import TritonServer
from recsys_assets_tests.waiting import LIMIT

SLEEPER = [sys.executable, "-c", "import time; time.sleep(3600)"]


@pytest.fixture
def daemon(tmp_path):
    daemon = Daemon("sleeper", tmp_path / "sleeper.pid", tmp_path / "sleeper.log")
    yield daemon
    daemon.stop()


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_process_is_found_again_and_stopped(daemon):
    pid = daemon.start(SLEEPER, os.environ)
    assert replace(daemon).pid == pid
    assert os.getsid(pid) == pid, "it must outlive the terminal that started it"
    assert daemon.stop()
    assert daemon.pid is None
    assert not daemon.stop()


def test_one_that_dies_while_it_is_looked_at_was_not_found(daemon):
    assert daemon.find(lambda: True, seconds=1) is None
    pid = daemon.start(SLEEPER, os.environ)
    assert daemon.find(lambda: True, seconds=1) == pid
    assert daemon.find(lambda: os.kill(pid, signal.SIGKILL), seconds=LIMIT) is None


def test_one_that_ignores_the_request_to_end_is_killed(daemon):
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('deaf', flush=True); time.sleep(3600)"
    )
    daemon.start([sys.executable, "-c", code], os.environ)
    daemon.wait_until(lambda: "deaf" in daemon.log_file.read_text(), seconds=LIMIT)
    assert daemon.stop(seconds=0.3)


def test_a_pid_that_belongs_to_another_process_by_now_is_left_alone(daemon):
    daemon.pid_file.write_text(json.dumps({"pid": os.getpid(), "started": 1}))
    assert daemon.pid is None
    assert not daemon.stop()


def test_a_killed_process_is_not_running(daemon):
    pid = daemon.start(SLEEPER, os.environ)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ServiceError, match="sleeper ended while starting"):
        daemon.wait_until(lambda: False, seconds=LIMIT)


def test_the_error_of_a_failed_start_shows_the_log(daemon):
    daemon.start([sys.executable, "-c", "raise SystemExit('no such model')"], os.environ)
    with pytest.raises(ServiceError, match="no such model"):
        daemon.wait_until(lambda: False, seconds=LIMIT)


def test_what_an_earlier_process_said_is_not_taken_for_the_words_of_this_one(daemon):
    for words in ("aborted", "no such model"):
        daemon.start([sys.executable, "-c", f"raise SystemExit({words!r})"], os.environ)
        with pytest.raises(ServiceError, match=words):
            daemon.wait_until(lambda: False, seconds=LIMIT)

    assert "aborted" in daemon.log_file.read_text()
    assert "aborted" not in daemon.log_tail()


def test_one_that_is_not_ready_in_time_is_stopped(daemon):
    daemon.start(SLEEPER, os.environ)
    with pytest.raises(
        ServiceError, match=r"waited 0 s for sleeper to start: raise RECSYS_WAIT_SECONDS"
    ):
        daemon.wait_until(lambda: False, seconds=0.2)
    assert daemon.pid is None


class Loading:
    """A Triton whose server aborts at its first loads, with these words in its log."""

    def __init__(self, settings, monkeypatch, words, aborts, error=ServiceError):
        self.starts, self.loads, self._aborts, self._error = 0, 0, aborts, error
        self.triton = TritonServer.of(settings)
        log = self.triton.daemon.log_file
        log.parent.mkdir(parents=True)
        log.write_text(f"terminate called after throwing an instance of '{words}'\n")
        monkeypatch.setattr(TritonServer, "start", self._start)
        monkeypatch.setattr(TritonServer, "live", lambda _: False)

    def _start(self):
        self.starts += 1

    def load(self):
        self.loads += 1
        if self.loads <= self._aborts:
            raise self._error("Socket closed")
        return 7


LOCK = "boost::interprocess::lock_exception"


def test_a_triton_that_aborted_while_loading_is_started_and_loaded_once_more(
    settings, monkeypatch, caplog
):
    loading = Loading(settings, monkeypatch, LOCK, aborts=1)
    assert loading.triton.start_and(loading.load) == 7
    assert (loading.starts, loading.loads) == (2, 2)
    assert f"Triton aborted while loading ({LOCK})" in caplog.text


def test_a_triton_that_hangs_in_a_load_is_stopped_and_loaded_once_more(
    settings, monkeypatch, caplog
):
    loading = Loading(settings, monkeypatch, "", aborts=1, error=StuckLoad)
    monkeypatch.setattr(TritonServer, "live", lambda _: True)
    stops = []
    monkeypatch.setattr(TritonServer, "stop", lambda _: stops.append(1))
    assert loading.triton.start_and(loading.load) == 7
    assert (loading.starts, loading.loads, stops) == (2, 2, [1])
    assert "Triton does not get to the end of a load (Socket closed)" in caplog.text


@pytest.mark.parametrize(("words", "starts"), [(LOCK, 2), ("std::bad_alloc", 1)])
def test_once_and_for_no_other_reason(settings, monkeypatch, words, starts):
    loading = Loading(settings, monkeypatch, words, aborts=9)
    with pytest.raises(ServiceError, match="Socket closed"):
        loading.triton.start_and(loading.load)
    assert loading.starts == loading.loads == starts


def test_a_taken_port_of_valkey_is_named_with_a_remedy(settings, taken_port):
    valkey = replace(Valkey.of(settings), address=Address("127.0.0.1", taken_port))
    with pytest.raises(ServiceError, match=rf"127\.0\.0\.1:{taken_port}.*RECSYS_ONLINE_STORE_URL"):
        valkey.start()


@pytest.mark.integration
def test_another_valkey_that_takes_the_port_at_the_last_moment_is_not_taken_for_ours(
    settings, valkey, monkeypatch
):
    monkeypatch.setattr("recsys_assets.services.valkey.require_free_port", lambda *_: None)
    late = replace(Valkey.of(settings), address=valkey.address)
    with pytest.raises(ServiceError, match="Address already in use"):
        late.start()


@pytest.mark.parametrize("name", ["http", "grpc", "metrics"])
def test_a_taken_port_of_triton_is_named_with_a_remedy(settings, taken_port, name):
    triton = TritonServer.of(settings)
    addresses = replace(triton.addresses, **{name: Address("127.0.0.1", taken_port)})
    with pytest.raises(ServiceError, match=f":{taken_port}.*RECSYS_TRITON_{name.upper()}"):
        replace(triton, addresses=addresses).start()


def test_the_repository_is_that_of_the_settings(settings):
    settings = replace(settings, triton_repository=Path("/models"))
    assert TritonServer.of(settings).repository == Path("/models")
    assert deployment.embedded_server(settings).repository == Path("/models")


def test_an_online_store_elsewhere_is_not_ours_to_start():
    settings = load_settings({"RECSYS_ONLINE_STORE_URL": "rediss://store.example:6379"})
    with pytest.raises(ServiceError, match="run the store at that URL yourself"):
        Valkey.of(settings)


def test_a_missing_models_environment_is_named_with_a_remedy(settings, tmp_path):
    triton = replace(TritonServer.of(settings), python=tmp_path / "python")
    with pytest.raises(ServiceError, match="RECSYS_MODELS_PYTHON"):
        triton.start()


def test_an_environment_without_triton_is_refused(settings):
    """The environment that runs the tests has no Triton, and numpy 2."""
    from pathlib import Path

    triton = replace(TritonServer.of(settings), python=Path(sys.executable))
    with pytest.raises(ServiceError, match="nvidia-pytriton is not installed"):
        triton.start()
