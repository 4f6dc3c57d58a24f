"""What an agent does when the store, or a look itself, is not as it should be; no server runs."""

import threading
from pathlib import Path

import pytest

from recsys_assets.releases.release import Releases
from recsys_assets.rollout import agent as agent_module
from recsys_assets.rollout.agent import Agent
from recsys_assets.rollout.faults import Probe
from recsys_assets.rollout.following import DesiredRelease, Following, promoted
from recsys_assets.rollout.single_server import SingleServer
from recsys_assets.storage import Store


@pytest.fixture
def releases(tmp_path):
    releases = Releases(Store((tmp_path / "storage").as_uri(), tmp_path / "agent"))
    releases.record(1, ())
    return releases


@pytest.fixture
def agent(releases, monkeypatch):
    """One whose server answers with what is wanted."""
    monkeypatch.setattr(agent_module, "probe", lambda *_: Probe("answered", 0.01, 1))
    monkeypatch.setattr(agent_module, "is_live", lambda _: True)
    monkeypatch.setattr(Agent, "_serve", lambda *_: None)
    return Agent(Following(releases, promoted), SingleServer("127.0.0.1:1", Path("models")), 0.0)


def sample(agent, name):
    return agent.metrics.registry.get_sample_value(f"recsys_{name}")


def test_a_damaged_record_leaves_what_is_served_and_is_counted_until_it_is_put_right(
    agent, tmp_path
):
    agent.look()
    record = tmp_path / "storage/releases/promoted.json"
    whole = record.read_text()
    for damaged in ("", "{", "[]", '{"release": 2}'):
        record.write_text(damaged)
        agent.look()
        assert agent.following.wanted == DesiredRelease(1)
        assert f"what is loaded stays: {record.as_uri()} cannot be read" in agent.error
    assert sample(agent, "agent_failed_looks_total") == 4
    assert sample(agent, "agent_store_reached") == 1
    record.write_text(whole)
    agent.look()
    assert (agent.error, sample(agent, "agent_failed_looks_total")) == ("", 4)


def test_what_nobody_has_foreseen_does_not_end_it(agent, monkeypatch):
    stop, looks = threading.Event(), []

    def look():
        looks.append(1)
        if len(looks) == 3:
            stop.set()
        raise RuntimeError("a fault of its own")

    monkeypatch.setattr(agent, "look", look)
    agent.run(stop, 0.0)
    assert agent.error == "a look has failed: RuntimeError('a fault of its own')"
    assert sample(agent, "agent_failed_looks_total") == 3


def test_a_server_that_is_still_starting_is_no_fault_that_cannot_be_healed(agent, monkeypatch):
    monkeypatch.setattr(agent_module, "is_live", lambda _: False)
    agent.look()
    assert agent.error == "no Triton answers at 127.0.0.1:1"
    assert sample(agent, "unhealed_total") == 0
