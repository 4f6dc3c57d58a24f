"""Which days a candidate and the live release are asked; the models are played by others."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.retraining import judging
from recsys_assets.retraining.gate import NEWEST, OLDER, GateRules, Spans
from recsys_assets.retraining.labelled import LabelledDay
from recsys_assets.serving.offline import Answers, Sessions
from recsys_assets.storage import Store

OF = Spans("2025-03-01", ("2025-03-02", "2025-03-03"), ("2025-01-31", "2025-02-01"))
ITEMS = np.array(["a", "b", "c"], dtype=object)


class Shows:
    """A release that shows everybody the same item."""

    def __init__(self, item):
        self.slate = np.array([item], dtype=object)

    def answer(self, sessions, purchased):
        return Answers([], [], [self.slate] * len(sessions))


class TwoReleases:
    def __init__(self, store, known_through):
        self.store = store
        self.known_through = known_through

    def manifest(self, release):
        return {"item_features_day": self.known_through}

    def fetch(self, release):
        return f"release {release}"


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Judges where live knows the days through the given one; every day has sessions or not."""
    store = Store(tmp_path.as_uri())
    for day in (OF.through, *OF.newest, *OF.older):
        store.table("interactions").write(pa.table({"user_id": ["ann"]}), day)
    asked = []

    def labelled(_, days, hours):
        asked.append((tuple(days), hours))
        users = np.array([f"user-{n}" for n in range(5)], dtype=object)
        sessions = Sessions(users, np.zeros(5, np.int64), users, {})
        return [LabelledDay(day, sessions, [frozenset("a")] * 5, {}) for day in days]

    known = SimpleNamespace(
        history=SimpleNamespace(item_ids=ITEMS),
        columns={"popularity_28d": np.array([1.0, 2.0, 9.0])},
    )
    as_of = []
    monkeypatch.setattr(judging.Known, "at", lambda _, day: as_of.append(day) or known)
    monkeypatch.setattr(judging, "offline_candidate", lambda *_: Shows("a"))
    monkeypatch.setattr(judging.OfflineRelease, "load", lambda *_: Shows("b"))
    monkeypatch.setattr(judging, "labelled_days", labelled)

    def judge(known_through="2025-02-25", of=OF):
        releases = TwoReleases(store, known_through)
        found = judging.judge_models(releases, 1, ("tower", "dlrm"), of, GateRules(), 24)
        assert as_of.pop() == OF.through  # the candidate knows nothing of the days it is asked
        return {one.span: one for one in found}, asked

    return judge


def test_all_three_are_asked_the_newest_and_the_older_days(judged):
    found, asked = judged()

    assert asked == [(OF.newest, 24), (OF.older, 24)]
    assert {span: one.days for span, one in found.items()} == {NEWEST: OF.newest, OLDER: OF.older}
    ndcg = found[NEWEST].metric("ndcg_at_10")
    assert (ndcg.candidate, ndcg.live) == (1, 0)
    assert 0 < ndcg.popularity < 1


def test_a_day_that_live_knows_is_not_asked(judged):
    found, _ = judged(known_through="2025-03-02")

    assert found[NEWEST].days == ("2025-03-03",)


def test_where_live_knows_every_newest_day_there_is_no_comparison_of_them(judged):
    found, _ = judged(known_through="2025-03-03")

    assert set(found) == {OLDER}


def test_older_days_from_before_history_are_left_out(judged):
    found, _ = judged(of=Spans(OF.through, OF.newest, ("2024-12-31", "2025-01-31")))

    assert found[OLDER].days == ("2025-01-31",)


def test_without_any_older_day_only_the_newest_are_compared(judged):
    found, _ = judged(of=Spans(OF.through, OF.newest, ("2024-12-30", "2024-12-31")))

    assert set(found) == {NEWEST}
