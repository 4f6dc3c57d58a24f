"""The plan of a run, and where in it the run is."""

import re

import pytest

from recsys_assets.terminal.plan import Plan, Position

SECONDS = {"ingest": 10.0, "features": 60.0, "train": 25.0, "ingest_is_whole": 3.0, "in_range": 2.0}
CHECKS = frozenset({"ingest_is_whole", "in_range"})
PLAN = Plan(SECONDS, CHECKS, reused=["items", "users"], basis="here the last time")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize("seconds", [[1.0, 1.0, 1.0], [0.1, 900.0, 7.0], [1.0] * 7, [5.0]])
def test_shares_are_a_hundred_percent_together(seconds):
    plan = Plan({f"step_{n}": value for n, value in enumerate(seconds)}, frozenset(), [], "")

    assert sum(plan.shares().values()) == 100


def test_all_checks_have_one_share():
    assert PLAN.shares() == {"ingest": 10, "features": 60, "train": 25, "checks": 5}


def test_the_plan_tells_each_share_and_what_is_reused():
    lines = PLAN.lines()

    assert lines[0] == "plan: 3 steps; they took 2 min here the last time:"
    assert lines[1] == "  ingest 10 %, features 60 %, train 25 %, checks 5 %"
    assert lines[-1] == "2 assets are up to date: items, users"


def test_many_steps_take_several_lines():
    plan = Plan(dict.fromkeys([f"step_{n}" for n in range(9)], 1.0), frozenset(), [], "")

    shown = re.findall(r"step_\d", " ".join(plan.lines()[1:]))

    assert shown == plan.steps
    assert len(plan.lines()) == 4


def test_a_plan_of_nothing_says_so():
    assert Plan({}, frozenset(), ["items"], "").lines() == [
        "plan: nothing to make",
        "1 assets are up to date: items",
    ]


def test_the_position_counts_steps_and_expected_time(clock):
    position = Position(PLAN, clock)

    assert str(position) == " 0/3   0 %"
    position.started("ingest")
    position.ended("ingest")
    position.started("ingest_is_whole")
    position.ended("ingest_is_whole")
    position.started("features")
    assert str(position) == " 2/3  13 %"


def test_a_step_counts_for_no_more_than_was_expected_of_it(clock):
    position = Position(PLAN, clock)
    position.started("features")

    clock.now = 30.0
    assert position.percent == pytest.approx(30)
    clock.now = 500.0
    assert position.percent == pytest.approx(60)


def test_only_the_end_is_a_hundred_percent(clock):
    position = Position(Plan({"train": 10.0, "in_range": 0.0}, frozenset(), [], ""), clock)
    position.started("train")
    position.ended("train")

    assert position.percent == 99
    position.started("in_range")
    position.ended("in_range")
    assert position.percent == 100
