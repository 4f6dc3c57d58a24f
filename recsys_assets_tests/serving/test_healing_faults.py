"""What counts as a fault of a server, and what does not."""

import math
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from recsys_assets.rollout import faults
from recsys_assets.rollout.faults import Fault, Observation, Probe, observe, outcome_of
from recsys_assets.rollout.single_server import SingleServer
from recsys_assets.rollout.watch_metrics import WatchMetrics

SERVER = SingleServer("127.0.0.1:1", Path("models"))


@pytest.fixture
def server(monkeypatch):
    """Sets the answers of probes one after another, and the processes; nobody sleeps."""

    def see(*answers, living=2, wanted=2):
        left = iter(answers)
        monkeypatch.setattr(faults, "probe", lambda _: next(left))
        monkeypatch.setattr(faults.model_processes, "living", lambda *_: set(range(living)))
        monkeypatch.setattr(faults.model_processes, "wanted", lambda *_: wanted)
        monkeypatch.setattr(faults.time, "sleep", lambda _: None)

    return see


ANSWERED = Probe("answered", 0.01, release=7)
FAILED = Probe("failed", 0.01, message="no such model")
OTHER = Probe("answered", 0.01, release=6)


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("[request id: 1] Exceeds maximum queue size", "busy"),
        ("[request id: 1] Request timeout expired", "busy"),
        ("Deadline Exceeded", "busy"),
        ("in ensemble 'recommend', Stub process 'pipeline_0_1' is not healthy.", "dead process"),
        ("Request for unknown model: 'recommend' has no available versions", "failed"),
        ("failed to connect to all addresses", "failed"),
    ],
)
def test_errors_of_triton(message, outcome):
    assert outcome_of(InferenceServerException(message)) == outcome


def test_an_answer_of_the_promoted_release_is_no_fault(server):
    server(ANSWERED)
    assert observe(SERVER, 1, 7) == Observation(None, ANSWERED, (2, 2))


def test_a_busy_server_is_left_alone(server):
    server(Probe("busy", 2.0, message="Deadline Exceeded"))
    assert observe(SERVER, 1, 7).fault is None


def test_a_failure_counts_if_it_lasts(server):
    server(FAILED, FAILED, FAILED)
    assert observe(SERVER, None, 7).fault == Fault("request", "release 7 failed: no such model")
    server(FAILED, FAILED, ANSWERED)
    assert observe(SERVER, None, 7).fault is None


def test_another_release_is_a_fault_if_it_lasts(server):
    server(OTHER, OTHER, OTHER)
    fault = observe(SERVER, None, 7).fault
    assert fault == Fault("release", "release 6 answered instead of release 7")


def test_a_dead_process_is_one_at_once_though_the_other_answers(server):
    server(living=1)
    seen = observe(SERVER, 1, 7)
    assert seen.fault == Fault("process", "release 7 failed: 1 of 2 model processes are dead")


def test_a_dead_process_is_known_by_its_answer_where_processes_cannot_be_seen(server):
    server(Probe("dead process", 1.0, message="Stub process 'pipeline_0_0' is not healthy."))
    seen = observe(SERVER, None, 7)
    assert seen.fault is not None
    assert seen.fault.kind == "process"


class TestMetrics:
    def sample(self, metrics, name):
        return metrics.registry.get_sample_value(name)

    def test_an_answer(self):
        metrics = WatchMetrics()
        metrics.saw(Observation(None, OTHER, (1, 2)), 7)
        assert self.sample(metrics, "recsys_probe_up") == 1
        assert self.sample(metrics, "recsys_probe_release") == 6
        assert self.sample(metrics, "recsys_promoted_release") == 7
        assert self.sample(metrics, "recsys_probe_seconds_count") == 1
        assert self.sample(metrics, "recsys_model_processes") == 1
        assert self.sample(metrics, "recsys_model_processes_wanted") == 2

    def test_no_server(self):
        metrics = WatchMetrics()
        metrics.saw(Observation(None, ANSWERED, (1, 2)), 7)
        metrics.saw_no_server()
        assert self.sample(metrics, "recsys_probe_up") == 0
        assert self.sample(metrics, "recsys_model_processes_wanted") == 0
        assert self.sample(metrics, "recsys_probe_release") == 0

    def test_how_a_server_is_that_has_never_answered_is_not_known(self):
        metrics = WatchMetrics()
        assert math.isnan(self.sample(metrics, "recsys_probe_up"))
        metrics.saw_no_server()
        metrics.saw(Observation(None), 7)
        assert math.isnan(self.sample(metrics, "recsys_probe_up"))
