"""Who is asked which days, and over which data; the models are played by others."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.releases.offline import Answers, Sessions
from recsys_assets.retraining import judging
from recsys_assets.retraining.comparison import LabelledDay
from recsys_assets.retraining.gate import DATA, NEWEST, OLDER, EvaluationWindow, GateRules
from recsys_assets.storage import Store

OF = EvaluationWindow("2025-03-01", ("2025-03-02", "2025-03-03"), ("2025-01-31", "2025-02-01"))
ITEMS = np.array(["a", "b", "c"], dtype=object)
CONFIG = object()


class Shows:
    """A release that shows everybody the same item."""

    def __init__(self, item):
        self.slate = np.array([item], dtype=object)
        self.asked = 0

    def answer(self, sessions, purchased):
        self.asked += 1
        return Answers([], [], [self.slate] * len(sessions))


class LiveRelease:
    """Learned through a day, and rendered over the data of another."""

    def __init__(self, store, learned, data):
        self.store = store
        self.described = {"trained_through": learned, "item_features_day": data}

    def manifest(self, release):
        return self.described

    def part(self, release, name):
        return f"live {name}"


@dataclass
class World:
    """What was asked, and which weights were laid over the data of which day."""

    store: Store
    days: list
    laid: list
    served: Shows
    sessions: int = 5

    def judge(self, learned="2025-02-25", data="2025-02-25", of=OF, sessions=5):
        self.sessions = sessions
        releases = LiveRelease(self.store, learned, data)
        models = {"two_tower": "new tower", "dlrm": "new dlrm"}
        found = judging.judge_models(releases, 1, models, of, GateRules(), 24)
        return {one.span: one for one in found}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Bought is always `a`: the candidate shows it; live weights only over data from March on."""
    store = Store(tmp_path.as_uri())
    for day in ("2025-01-30", *OF.older, OF.through, *OF.newest):
        store.table("interactions").write(pa.table({"user_id": ["ann"]}), day)
    world = World(store, [], [], Shows("c"))

    def labelled(_, days, hours):
        assert hours == 24
        world.days.append(tuple(days))
        users = np.array([f"user-{n}" for n in range(world.sessions)], dtype=object)
        sessions = Sessions(users, np.zeros(len(users), np.int64), users, {})
        relevant = [frozenset("a")] * len(users)
        return [LabelledDay(day, sessions, relevant, {}) for day in days]

    def known(_, day):
        columns = {"popularity_28d": np.array([1.0, 2.0, 9.0])}
        history = SimpleNamespace(item_ids=ITEMS)
        return SimpleNamespace(day=day, history=history, columns=columns)

    def laid(weights, known, config):
        assert config is CONFIG  # the live one's, whoever's the weights are
        world.laid.append((weights["dlrm"], known.day))
        return Shows("a" if weights["dlrm"] == "new dlrm" else "b")

    monkeypatch.setattr(judging.DaySnapshot, "at", known)
    monkeypatch.setattr(judging, "offline_release", laid)
    monkeypatch.setattr(judging, "served_release", lambda *_: world.served)
    monkeypatch.setattr(judging.ServingConfig, "of", lambda *_: CONFIG)
    monkeypatch.setattr(judging, "labelled_days", labelled)
    return world


def test_both_weights_are_laid_over_the_data_of_the_day_before_those_that_they_are_asked(world):
    found = world.judge()

    assert world.laid == [
        ("new dlrm", "2025-03-01"),
        ("live dlrm", "2025-03-01"),
        ("new dlrm", "2025-01-30"),
        ("live dlrm", "2025-01-30"),
    ]
    assert [found[span].days for span in (NEWEST, OLDER)] == [OF.newest, OF.older]


def test_weights_and_data_are_told_apart(world):
    found = world.judge()
    weights, data = (found[span].metric("ndcg_at_10") for span in (NEWEST, DATA))

    assert (weights.candidate, weights.live) == (1, 0)  # shows a; live weights over the same: b
    assert (data.candidate, data.live) == (0, 0)  # b; as served: c
    assert 0 < weights.popularity < 1
    assert found[DATA].days == OF.newest


def test_no_release_is_asked_a_day_twice(world):
    world.judge()

    assert world.served.asked == len(OF.newest)


def test_where_live_has_the_same_data_there_is_nothing_to_say_of_them(world):
    assert DATA not in world.judge(data=OF.through)
    assert DATA in world.judge(data="2025-02-28")


def test_data_that_were_refreshed_since_stand_in_no_candidates_way(world):
    found = world.judge(data="2025-03-04")

    assert found[NEWEST].days == OF.newest
    assert DATA not in found


@pytest.mark.parametrize("learned_by", ["candidate", "live"])
def test_a_day_that_one_of_them_has_learned_from_is_not_asked(world, learned_by):
    learned = "2025-03-02" if learned_by == "live" else "2025-02-25"
    through = "2025-03-02" if learned_by == "candidate" else OF.through
    found = world.judge(learned, of=EvaluationWindow(through, OF.newest, OF.older))

    assert found[NEWEST].days == ("2025-03-03",)
    assert world.laid[0] == ("new dlrm", "2025-03-02")


def test_where_every_newest_day_is_learned_from_there_is_no_comparison_of_them(world):
    assert set(world.judge(learned="2025-03-03")) == {OLDER}


def test_older_days_before_which_nothing_is_known_are_left_out(world):
    of = EvaluationWindow(OF.through, OF.newest, ("2025-01-29", "2025-01-30", "2025-01-31"))

    assert world.judge(of=of)[OLDER].days == ("2025-01-31",)


def test_without_any_older_day_only_the_newest_are_compared(world):
    of = EvaluationWindow(OF.through, OF.newest, ("2024-12-30", "2024-12-31"))

    assert set(world.judge(of=of)) == {NEWEST, DATA}


def test_without_any_session_nothing_is_compared(world):
    assert world.judge(sessions=0) == {}


class TestJudgeData:
    """`judge_data`: a refresh of a release whose data are of some day."""

    def gain(self, world, data, sessions=5):
        world.sessions = sessions
        return judging.judge_data(LiveRelease(world.store, "2025-02-01", data), 1, OF, 24)

    def test_fresh_data_are_those_of_the_day_before_the_newest(self, world):
        found = self.gain(world, "2025-02-20")

        assert (found.span, found.days) == (DATA, OF.newest)
        assert world.laid == [("live dlrm", OF.through)]

    def test_data_as_fresh_as_these_have_nothing_to_gain(self, world):
        assert self.gain(world, OF.through) is None
        assert world.days == []

    def test_without_any_session_nothing_is_known_of_it(self, world):
        assert self.gain(world, "2025-02-20", sessions=0) is None
