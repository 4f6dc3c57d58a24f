"""What agents say, as promotion sees it; the agents are played by an HTTP server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from recsys_assets.rollout.agents import (
    Patience,
    Pods,
    PodState,
    anyone,
    ask,
    everyone,
    reachable,
    resolve,
    those_that_answer,
)
from recsys_assets.rollout.release_target import PromotionError
from recsys_assets_tests.conftest import free_port

WAITING = {
    "wanted": 2,
    "serving": 1,
    "degraded": False,
    "error": "",
    "failed": False,
    "grpc_port": 8701,
}
FAILED = {**WAITING, "error": "release 2 is damaged", "failed": True}
THERE = {**WAITING, "serving": 2}
JOINING = {**WAITING, "serving": None, "error": "no Triton answers"}


@pytest.fixture
def agent():
    """Starts an agent that says one thing after another, and the last for ever."""
    servers = []

    def start(*said):
        left = list(said)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(left.pop(0) if len(left) > 1 else left[0]).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()


def wait(addresses, seconds=20.0, counted=everyone):
    said, pods = [], Pods("agents:1", lambda _: addresses)
    states = pods.wait_for(2, counted, Patience(seconds, 0.01), said.append)
    return [state.serving for state in states], said


def test_what_an_agent_says(agent):
    address = agent(FAILED)
    state = ask(address)
    assert state == PodState(
        address, 2, 1, False, "release 2 is damaged", failed=True, grpc="127.0.0.1:8701"
    )
    assert str(state) == f"{address} serves release 1 (release 2 is damaged)"


def test_one_of_an_earlier_version_does_not_say_where_its_server_is(agent):
    earlier = {name: value for name, value in THERE.items() if name != "grpc_port"}
    assert ask(agent(earlier)).grpc == "127.0.0.1:8001"


def test_one_that_does_not_answer_or_says_something_else(agent):
    assert "not reached" in ask(f"127.0.0.1:{free_port()}").error
    assert not ask(agent({"hello": "world"})).asked


def test_waiting_until_all_are_there(agent):
    serving, said = wait([agent(WAITING, WAITING, THERE), agent(THERE)])
    assert serving == [2, 2]
    assert said == [
        "1 of 2 pods answer with release 2",
        "2 of 2 pods answer with release 2",
    ]


def test_one_that_fails_for_a_moment_is_waited_for(agent):
    assert wait([agent(FAILED, FAILED, WAITING, THERE)])[0] == [2]


def test_it_ends_early_once_the_others_have_failed(agent):
    assert wait([agent(FAILED), agent(THERE)], seconds=1e9)[0] == [1, 2]


def test_one_whose_server_is_only_starting_is_waited_for(agent):
    assert wait([agent(*[JOINING] * 5, THERE)])[0] == [2]


def test_it_ends_in_time_though_one_is_still_on_its_way(agent):
    assert wait([agent(WAITING)], seconds=0.1)[0] == [1]


def test_a_pod_that_is_just_joining_is_not_waited_for(agent):
    there, joining = agent(WAITING, THERE), agent(JOINING)
    counted = those_that_answer([ask(there), ask(joining)])
    assert wait([there, joining], 1e9, counted)[0] == [2, None]


def test_one_that_answered_before_is(agent):
    there, lost = agent(THERE), agent(THERE, JOINING)
    counted = those_that_answer([ask(there), ask(lost)])
    assert wait([there, lost], 0.3, counted)[1][-1] == "1 of 2 pods answer with release 2"


def test_one_that_cannot_be_asked_is_not_waited_for_where_only_the_others_are(agent):
    nowhere = f"127.0.0.1:{free_port()}"
    assert wait([agent(WAITING, THERE), nowhere], 1e9, reachable)[0] == [2, None]


def test_for_the_first_one_the_others_are_not_waited_for(agent):
    assert wait([agent(WAITING), agent(WAITING, WAITING, THERE)], 1e9, anyone)[0] == [1, 2]


def test_that_nobody_counts_is_not_enough(agent):
    assert wait([agent(JOINING)], 0.1, those_that_answer([]))[0] == [None]


def test_a_service_is_resolved_to_its_addresses():
    assert resolve("localhost:8080") == ["127.0.0.1:8080"]


def test_a_service_without_pods_is_named():
    with pytest.raises(PromotionError, match=r"nobody\.invalid:8080 cannot be resolved"):
        resolve("nobody.invalid:8080")
    (state,) = Pods("nobody.invalid:8080").states()
    assert not state.asked
