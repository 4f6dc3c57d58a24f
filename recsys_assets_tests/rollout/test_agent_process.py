"""What an agent says to the kubelet and to promotions; its server is played."""

import json
import threading
from pathlib import Path

import pytest

from recsys_assets.releases.release import Releases
from recsys_assets.rollout import agent as agent_module
from recsys_assets.rollout import agent_process
from recsys_assets.rollout.agent import Agent
from recsys_assets.rollout.agent_process import AgentEndpoints
from recsys_assets.rollout.agents import ask
from recsys_assets.rollout.faults import Probe
from recsys_assets.rollout.following import DesiredRelease, Following
from recsys_assets.rollout.single_server import SingleServer
from recsys_assets.runtime.processes import Address
from recsys_assets.storage import Store
from recsys_assets_tests.conftest import free_port


class Server:
    """What probes find, one after another, and the last for ever."""

    def __init__(self, *found):
        self.found = list(found)

    def __call__(self, address, user=""):
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]


def answered(release, degraded=False):
    return Probe("answered", 0.01, release, degraded)


FAILED = Probe("failed", 0.01, message="no such model")
BUSY = Probe("busy", 2.0, message="Exceeds maximum queue size")


@pytest.fixture
def endpoints(tmp_path, monkeypatch):
    """An agent that wants release 2, whose server was found with 1 and then with what is told."""

    def make(*found, wanted=2):
        following = Following(Releases(Store(tmp_path.as_uri(), tmp_path)), lambda _: None)
        following.wanted = wanted and DesiredRelease(wanted)
        monkeypatch.setattr(agent_module, "probe", Server(answered(1)))
        monkeypatch.setattr(agent_process, "probe", Server(*found))
        agent = Agent(following, SingleServer("127.0.0.1:1", Path("models")), 0.0)
        make.agent, make.draining = agent, threading.Event()
        return AgentEndpoints(agent, threading.current_thread(), make.draining)

    return make


@pytest.mark.parametrize(
    ("found", "ready"),
    [
        ([answered(2)], ""),
        ([answered(1)], ""),  # it answers until the wanted one has been proved
        ([BUSY], ""),  # elsewhere its requests would only overload the others
        ([FAILED], "no such model"),
        ([answered(7)], "release 7 answers; "),
        ([answered(7), answered(2)], ""),  # the first answer was from before a switch
    ],
)
def test_ready_by_a_real_request(endpoints, found, ready):
    status, _, body = endpoints(*found).ready()
    assert (status, body.decode()) == ((503, ready) if ready else (200, "ok"))


def test_not_ready_once_it_is_to_end(endpoints):
    http = endpoints(answered(2))
    endpoints.draining.set()
    assert http.ready()[::2] == (503, b"draining")
    assert http.live()[0] == 200


def test_live_while_the_loop_runs(endpoints, monkeypatch):
    http = endpoints(answered(2))
    assert http.live()[0] == 200
    ended = AgentEndpoints(endpoints.agent, threading.Thread(), endpoints.draining)
    assert ended.live()[::2] == (503, b"the loop has ended")
    monkeypatch.setattr(agent_module, "_LIMITS_OF_A_LOOK", -1)
    assert http.live()[::2] == (503, b"a look hangs")


def test_an_answer_counts_for_a_moment_however_many_ask(endpoints):
    http = endpoints(answered(1, degraded=True), FAILED)
    for _ in range(3):
        assert json.loads(http.release()[2]) == {
            "wanted": 2,
            "serving": 1,
            "degraded": True,
            "error": "",
            "failed": False,
            "grpc_port": 1,
        }


def test_what_hinders_is_said(endpoints):
    assert json.loads(endpoints(FAILED, wanted=None).release()[2]) == {
        "wanted": None,
        "serving": None,
        "degraded": False,
        "error": "no such model",
        "failed": False,
        "grpc_port": 1,
    }


@pytest.mark.parametrize(
    ("wanted", "found", "failed"),
    [
        (1, [FAILED], True),  # it was proved, and yet fails users
        (1, [FAILED, answered(1)], False),  # the first answer was from before it was loaded
        (1, [BUSY], False),
        (2, [FAILED], False),  # it is not loaded yet
    ],
)
def test_whether_the_wanted_release_has_failed(endpoints, wanted, found, failed):
    assert json.loads(endpoints(*found, wanted=wanted).release()[2])["failed"] == failed


def test_over_http(endpoints):
    port = free_port()
    server = endpoints(answered(2)).serve(Address("127.0.0.1", port))
    try:
        assert ask(f"127.0.0.1:{port}").serving == 2
    finally:
        server.shutdown()
