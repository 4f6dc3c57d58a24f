import time

import grpc
import numpy as np
import pytest

from benchmarks.serving.load import BrokenGenerator, Load, Manner
from benchmarks.serving.outcomes import ANSWERED, DEADLINE, REFUSED
from benchmarks.serving.requests import Population
from benchmarks.serving.wire import Terms
from recsys_assets_tests.benchmarks.serving.fake_server import response, serve
from recsys_assets_tests.conftest import free_port

PEOPLE = Population(["ann", "bob"], 1_506_816_000)
PATIENT = Manner(deadline_ms=60_000)  # where the deadline is not what is tested


def test_everything_that_is_due_is_sent_and_answered():
    due = np.linspace(0, 0.5, 100)
    with serve(lambda *_: response(degraded=True)) as running:
        found = Load(running, PEOPLE, PATIENT).open(due)
    assert len(found) == 100
    assert set(found.kind) == {ANSWERED}
    assert found.degraded.all() and (found.release == 7).all() and (found.items == 2).all()
    assert (found.sent >= found.due).all() and (found.done > found.sent).all()
    assert found.cpu_seconds > 0


def test_a_server_that_stalls_cannot_hide_its_queue():
    """One slow answer makes all behind it late: each counts from when it was due."""
    stalled = []

    def stall_once(*_):
        if not stalled:
            stalled.append(True)
            time.sleep(0.5)
        return response()

    due = np.arange(0, 0.5, 0.01)
    with serve(stall_once, workers=1) as running:
        found = Load(running, PEOPLE, PATIENT).open(due)
    late = found.latency_ms[due < 0.25]
    assert (late >= 240).all()
    assert found.latency_ms[0] >= 490
    assert (np.isfinite(found.sent)).all()


def test_what_is_not_answered_in_time_counts_with_its_deadline():
    def sleep(*_):
        time.sleep(0.6)
        return response()

    manner = Manner(deadline_ms=200)
    with serve(sleep) as running:
        found = Load(running, PEOPLE, manner).open(np.array([0.0, 0.01]))
    assert set(found.kind) == {DEADLINE}
    assert (found.latency_ms >= 200).all()
    assert found.served.all()


def test_refusals_are_told_from_other_failures():
    def refuse(_, context):
        context.abort(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")

    with serve(refuse) as running:
        found = Load(running, PEOPLE, PATIENT).open(np.array([0.0]))
    assert found.kind.tolist() == [REFUSED]
    assert not found.served.any()
    assert found.messages == {0: "Exceeds maximum queue size"}


def test_a_closed_loop_keeps_so_many_in_flight():
    with serve(lambda *_: response(), workers=8) as running:
        found = Load(running, PEOPLE, PATIENT).closed(concurrency=3, seconds=0.3)
    starts = [(moment, 1) for moment in found.sent] + [(moment, -1) for moment in found.done]
    in_flight = np.cumsum([change for _, change in sorted(starts)])
    assert in_flight.max() == 3
    assert found.due.max() <= 0.35


def test_terms_are_shared_out():
    terms = ((Terms(priority=1), 0.75), (Terms(priority=2), 0.25))
    with serve(lambda *_: response()) as running:
        _, priority = Load(running, PEOPLE, Manner(terms=terms)).plan(np.zeros(4000))
    assert (priority == 2).mean() == pytest.approx(0.25, abs=0.03)


def test_a_generator_without_a_server_says_so():
    from benchmarks.serving.layouts import Running

    nowhere = Running(f"127.0.0.1:{free_port()}", "recommend", {})
    with pytest.raises(BrokenGenerator, match="did not get ready"):
        Load(nowhere, PEOPLE).open(np.array([0.0]))
