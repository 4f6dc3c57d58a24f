import pytest

from benchmarks.serving.throughput import Limits, best, search
from recsys_assets_tests.benchmarks.serving.made_up import summary


class MadeUpServer:
    """p99 as of a queue with one server (M/M/1): grows without bounds towards the capacity."""

    def __init__(self, capacity, disturbed=()):
        self.capacity = capacity
        self.disturbed = set(disturbed)
        self.asked = []

    def p99_ms(self, rate):
        return 4.6 / (self.capacity - rate) * 1000 if rate < self.capacity else 2000.0

    def __call__(self, rate):
        self.asked.append(rate)
        disturbed = rate in self.disturbed
        self.disturbed.discard(rate)
        achieved = min(rate, self.capacity)
        p99 = 900.0 if disturbed else self.p99_ms(rate)
        return summary(offered_rps=rate, achieved_rps=achieved, p99_ms=p99)


@pytest.mark.parametrize("first", [1.0, 50.0, 300.0, 3000.0])
def test_finds_the_highest_rate_within_the_limit_wherever_it_begins(first):
    server = MadeUpServer(capacity=700.0)
    found = search(server, first)
    truth = 700 - 4600 / 25
    assert truth * 0.85 <= found.rate <= truth
    assert server.p99_ms(found.rate) <= 25


def test_no_rate_may_be_bearable():
    assert search(MadeUpServer(capacity=50.0), 100.0).rate == 0.0


def test_one_disturbed_run_does_not_decide():
    calm = search(MadeUpServer(capacity=700.0), 300.0)
    assert search(MadeUpServer(capacity=700.0, disturbed=[300.0, 450.0]), 300.0).rate == calm.rate


def test_every_run_is_kept():
    server = MadeUpServer(capacity=700.0, disturbed=[300.0])
    found = search(server, 300.0)
    assert sum(len(runs) for runs in found.runs.values()) == len(server.asked)
    assert best(found.runs[300.0]).p99_ms < 25 < max(run.p99_ms for run in found.runs[300.0])


@pytest.mark.parametrize(
    "broken",
    [
        {"p99_ms": 25.1},
        {"errors": 1},
        {"degraded": 0.02},
        {"offered_rps": 100.0, "achieved_rps": 98.0},
        {"p99_ms": float("nan")},
    ],
)
def test_a_bearable_rate_is_fast_whole_full_and_achieved(broken):
    assert Limits().kept_by(summary())
    assert not Limits().kept_by(summary(**broken))
