"""Who is asked which days, over which data, and how answers are held against each other.

The models are played by others.
"""

from dataclasses import dataclass
from math import log2
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.releases.offline import Answers, Sessions
from recsys_assets.retraining import comparison
from recsys_assets.retraining.candidate import DaySnapshot
from recsys_assets.retraining.comparison import as_markdown, compare, popular_slates, quality
from recsys_assets.retraining.gate import DATA, NEWEST, OLDER, EvaluationWindow, GateRules
from recsys_assets.retraining.labelled import LabelledDay
from recsys_assets.storage import Store

ITEMS = np.array(["a", "b", "c", "d"], dtype=object)
OF = EvaluationWindow("2025-03-01", ("2025-03-02", "2025-03-03"), ("2025-01-31", "2025-02-01"))
CONFIG = object()
LIVE_WEIGHTS = SimpleNamespace(folders={"two_tower": "live two_tower", "dlrm": "live dlrm"})


def labelled(day, *rows, purchased=None):
    """One session a row: the user, and what was relevant."""
    users = np.array([user for user, _ in rows], dtype=object)
    sessions = Sessions(users, np.zeros(len(rows), np.int64), users, {})
    return LabelledDay(day, sessions, [frozenset(wanted) for _, wanted in rows], purchased or {})


def always(*items):
    return lambda day: [np.array(items, dtype=object)] * len(day.sessions)


class TestQuality:
    def test_it_is_what_a_hand_computes(self):
        slates = [np.array(["x", "a", "b"]), np.array(["c"]), np.array([], dtype=object)]
        found = quality(slates, [frozenset("abc"), frozenset("c"), frozenset("a")])

        ideal = 1 + 1 / log2(3) + 1 / log2(4)
        ndcg = [(1 / log2(3) + 1 / log2(4)) / ideal, 1, 0]
        assert found["ndcg_at_10"].tolist() == pytest.approx(ndcg)
        assert found["recall_at_10"].tolist() == pytest.approx([2 / 3, 1, 0])

    def test_only_the_first_ten_count(self):
        slate = np.array([f"x{n}" for n in range(10)] + ["a"])
        found = quality([slate], [frozenset("a")])

        assert found["ndcg_at_10"].tolist() == found["recall_at_10"].tolist() == [0]


class TestCompare:
    def test_households_count_alike_however_often_they_come(self):
        days = [
            labelled("2025-03-01", ("ann", "a"), ("ann", "a"), ("bob", "b")),
            labelled("2025-03-02", ("ann", "a")),
        ]
        found = compare("newest", days, always("b"), always("a"), always("c"))

        assert (found.span, found.days) == ("newest", ("2025-03-01", "2025-03-02"))
        assert (found.sessions, found.households) == (4, 2)
        recall = found.metric("recall_at_10")
        assert (recall.candidate, recall.live, recall.popularity) == (0.5, 0.5, 0)
        assert recall.over_live.mean == 0
        assert recall.over_popularity.mean == 0.5

    def test_a_household_has_the_mean_of_its_sessions(self):
        days = [labelled("2025-03-01", ("ann", "a"), ("ann", "b"), ("ann", "b"), ("ann", "b"))]
        found = compare("newest", days, always("a"), always("b"), always("c"))

        assert found.metric("ndcg_at_10").candidate == 0.25
        assert found.metric("ndcg_at_10").over_live.mean == -0.5

    def test_differences_are_paired_so_equal_answers_differ_by_nothing_at_all(self):
        rows = [(f"user-{n}", "ab"[n % 2]) for n in range(40)]
        found = compare("newest", [labelled("2025-03-01", *rows)], *[always("a")] * 3)
        over = found.metric("ndcg_at_10").over_live

        assert (over.mean, over.low, over.high) == (0, 0, 0)

    def test_a_day_without_sessions_adds_nothing(self):
        days = [labelled("2025-03-01"), labelled("2025-03-02", ("ann", "a"))]
        found = compare("newest", days, *[always("a")] * 3)

        assert (found.sessions, found.metric("recall_at_10").candidate) == (1, 1)

    @pytest.mark.parametrize("days", [[], [labelled("2025-03-01")]])
    def test_without_any_session_there_is_nothing_to_compare(self, days):
        with pytest.raises(ValueError, match="no labelled session in the older days"):
            compare("older", days, *[always("a")] * 3)

    def test_the_table_shows_means_and_intervals(self):
        day = labelled("2025-03-01", ("ann", "a"))
        table = as_markdown([compare("newest", [day], always("a"), always("b"), always("c"))])

        assert "**weights alone**: 2025-03-01; 1 sessions of 1 households" in table
        row = "| recall_at_10 | 1.0000 | 0.0000 | 0.0000 | +1.0000 (+1.0000 to +1.0000) |"
        assert row in table


class TestPopularSlates:
    def test_most_bought_first_less_what_the_user_has(self):
        answer = popular_slates(ITEMS, np.array([1.0, 9.0, np.nan, 5.0]))
        day = labelled("2025-03-01", ("ann", "a"), ("bob", "a"), purchased={"bob": frozenset("bz")})

        assert [slate.tolist() for slate in answer(day)] == [list("bdac"), list("dac")]

    def test_a_slate_has_ten_items_however_many_were_bought(self):
        names = np.array([f"{n:02d}" for n in range(50)], dtype=object)
        answer = popular_slates(names, np.arange(50.0)[::-1])
        bought = frozenset(names[:30])
        (slate,) = answer(labelled("2025-03-01", ("ann", "a"), purchased={"ann": bought}))

        assert slate.tolist() == names[30:40].tolist()


class Shows:
    """A release that shows everybody the same item."""

    def __init__(self, item):
        self.slate = np.array([item], dtype=object)
        self.asked = 0

    def answer(self, sessions, purchased):
        self.asked += 1
        return Answers([], [], [self.slate] * len(sessions))


@dataclass(frozen=True)
class Known:
    """A catalogue that can tell what was known at the end of any day."""

    day: str

    @property
    def history(self):
        return SimpleNamespace(item_ids=ITEMS)

    @property
    def columns(self):
        return {"popularity_28d": np.array([1.0, 2.0, 9.0, 0.0])}

    def as_of(self, day):
        assert day <= self.day
        return Known(day)


KNOWN = Known("2025-03-05")


class LiveRelease:
    """Learned through a day, and rendered over the data of another."""

    def __init__(self, store, learned, data):
        self.store = store
        self.described = {"trained_through": learned, "item_features_day": data}

    def manifest(self, release):
        return self.described


@dataclass
class World:
    """What was asked, and which weights were laid over the data of which day."""

    store: Store
    days: list
    laid: list
    served: Shows
    sessions: int = 5

    def compare(self, learned="2025-02-25", data="2025-02-25", of=OF, sessions=5):
        self.sessions = sessions
        releases = LiveRelease(self.store, learned, data)
        models = {"two_tower": "new tower", "dlrm": "new dlrm"}
        found = comparison.compare_weights(releases, 1, models, KNOWN, of, GateRules(), 24)
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

    def laid(weights, data, config):
        assert config is CONFIG  # the live one's, whoever's the weights are
        world.laid.append((weights["dlrm"], data.catalogue.day))
        return Shows("a" if weights["dlrm"] == "new dlrm" else "b")

    monkeypatch.setattr(comparison, "weights_of", lambda *_: LIVE_WEIGHTS)
    monkeypatch.setattr(comparison.DaySnapshot, "of", lambda _, known: DaySnapshot(known, None))
    monkeypatch.setattr(comparison, "offline_release", laid)
    monkeypatch.setattr(comparison, "served_release", lambda *_: world.served)
    monkeypatch.setattr(comparison.ServingConfig, "of", lambda *_: CONFIG)
    monkeypatch.setattr(comparison, "labelled_days", labelled)
    return world


def test_both_weights_are_laid_over_the_data_of_the_day_before_those_that_they_are_asked(world):
    found = world.compare()

    assert world.laid == [
        ("new dlrm", "2025-03-01"),
        ("live dlrm", "2025-03-01"),
        ("new dlrm", "2025-01-30"),
        ("live dlrm", "2025-01-30"),
    ]
    assert [found[span].days for span in (NEWEST, OLDER)] == [OF.newest, OF.older]


def test_weights_and_data_are_told_apart(world):
    found = world.compare()
    weights, data = (found[span].metric("ndcg_at_10") for span in (NEWEST, DATA))

    assert (weights.candidate, weights.live) == (1, 0)  # shows a; live weights over the same: b
    assert (data.candidate, data.live) == (0, 0)  # b; as served: c
    assert 0 < weights.popularity < 1
    assert found[DATA].days == OF.newest


def test_no_release_is_asked_a_day_twice(world):
    world.compare()

    assert world.served.asked == len(OF.newest)


def test_where_live_has_the_same_data_there_is_nothing_to_say_of_them(world):
    assert DATA not in world.compare(data=OF.through)
    assert DATA in world.compare(data="2025-02-28")


def test_data_that_were_refreshed_since_stand_in_no_candidates_way(world):
    found = world.compare(data="2025-03-04")

    assert found[NEWEST].days == OF.newest
    assert DATA not in found


@pytest.mark.parametrize("learned_by", ["candidate", "live"])
def test_a_day_that_one_of_them_has_learned_from_is_not_asked(world, learned_by):
    learned = "2025-03-02" if learned_by == "live" else "2025-02-25"
    through = "2025-03-02" if learned_by == "candidate" else OF.through
    found = world.compare(learned, of=EvaluationWindow(through, OF.newest, OF.older))

    assert found[NEWEST].days == ("2025-03-03",)
    assert world.laid[0] == ("new dlrm", "2025-03-02")


def test_where_every_newest_day_is_learned_from_there_is_no_comparison_of_them(world):
    assert set(world.compare(learned="2025-03-03")) == {OLDER}


def test_older_days_before_which_nothing_is_known_are_left_out(world):
    of = EvaluationWindow(OF.through, OF.newest, ("2025-01-29", "2025-01-30", "2025-01-31"))

    assert world.compare(of=of)[OLDER].days == ("2025-01-31",)


def test_without_any_older_day_only_the_newest_are_compared(world):
    of = EvaluationWindow(OF.through, OF.newest, ("2024-12-30", "2024-12-31"))

    assert set(world.compare(of=of)) == {NEWEST, DATA}


def test_without_any_session_nothing_is_compared(world):
    assert world.compare(sessions=0) == {}


class TestCompareData:
    """`compare_data`: a refresh of a release whose data are of some day."""

    def gain(self, world, data, sessions=5):
        world.sessions = sessions
        live = LiveRelease(world.store, "2025-02-01", data)
        return comparison.compare_data(live, 1, KNOWN, OF, 24)

    def test_fresh_data_are_those_of_the_day_before_the_newest(self, world):
        found = self.gain(world, "2025-02-20")

        assert (found.span, found.days) == (DATA, OF.newest)
        assert world.laid == [("live dlrm", OF.through)]

    def test_data_as_fresh_as_these_have_nothing_to_gain(self, world):
        assert self.gain(world, OF.through) is None
        assert world.days == []

    def test_without_any_session_nothing_is_known_of_it(self, world):
        assert self.gain(world, "2025-02-20", sessions=0) is None
