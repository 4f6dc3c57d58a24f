"""The benchmark of newer data: what it keeps, and what it sums up; releases are played."""

import io
import json
import shutil

import numpy as np
import pytest

from benchmarks import refresh
from benchmarks.refresh import METHODS, run
from recsys_assets.releases.offline import Sessions
from recsys_assets.releases.release import MANIFEST, Reason, Releases
from recsys_assets.retraining.labelled import LabelledDay
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from recsys_assets.terminal.screen import Screen
from replay.prepare import NotPrepared
from replay.quality import DayQuality

DAYS = ("2017-10-01", "2017-10-02", "2017-10-03")
QUIET = "2017-10-02"


@pytest.fixture
def settings(tmp_path):
    return load_settings({"RECSYS_HOME": str(tmp_path)})


@pytest.fixture
def releases(settings):
    """Release 1 is live."""
    releases = Releases(Store(settings.storage_url))
    promote(releases, "2017-10-01T00:00:00+00:00")
    return releases


def promote(releases, rendered_at):
    with releases.new() as draft:
        through = {"trained_through": "2017-09-30", "item_features_day": "2017-09-30"}
        (draft.path / MANIFEST).write_text(json.dumps({"rendered_at": rendered_at, **through}))
    releases.record(int(draft.version), (), Reason("a test", "pytest"))


def labelled(day, count):
    users = np.array([f"user-{n}" for n in range(count)], dtype=object)
    sessions = Sessions(users, np.zeros(count, np.int64), users, {})
    return LabelledDay(day, sessions, [frozenset("a")] * count, {})


@pytest.fixture
def asked(monkeypatch):
    """Refreshed every household gains a tenth; nobody came on the quiet day."""
    asked = []

    class Bench:
        def __init__(self, releases, of):
            self.of = of

        def day(self, labelled):
            day, users = labelled.day, labelled.sessions.user_id
            asked.append((self.of.release, day))
            frozen = np.linspace(0, 0.9, len(users))
            shown = dict(zip(METHODS, (frozen + 0.1, frozen), strict=True))
            return DayQuality(
                day,
                users,
                {(m, n): shown[m] for m in METHODS for n in ("ndcg_at_10", "recall_at_10")},
            )

    def labelled_days(_, days, hours):
        assert hours == 24
        return [labelled(day, 0 if day == QUIET else 20) for day in days]

    monkeypatch.setattr(refresh, "Bench", Bench)
    monkeypatch.setattr(refresh, "labelled_days", labelled_days)
    monkeypatch.setattr(refresh, "prepare", lambda *_: None)
    return asked


def measured(settings, days=3, sessions=20):
    return run(settings, days, sessions, Screen(io.StringIO()))


def test_the_difference_is_paired_and_of_all_days(settings, releases, asked):
    found = measured(settings)
    ndcg = found["quality"]["all"]["ndcg_at_10"]

    assert [day for _, day in asked] == list(DAYS)
    assert found["quality"]["all"]["sessions"] == 40
    assert (ndcg["refreshed"], ndcg["frozen"]) == pytest.approx((0.55, 0.45))
    assert ndcg["interval"] == pytest.approx([0.1, 0.1])
    assert found["machine"]["cores"]
    assert (found["release"], found["sessions_a_day"]) == (1, 20)


def test_a_day_that_is_done_is_not_asked_again(settings, releases, asked):
    first = measured(settings, days=2)["quality"]["2017-10-01"]
    again = measured(settings, days=3)["quality"]["2017-10-01"]

    assert [day for _, day in asked] == list(DAYS)
    assert again["ndcg_at_10"] == pytest.approx(first["ndcg_at_10"])


def test_figures_of_another_release_or_of_other_sessions_are_not_taken(settings, releases, asked):
    measured(settings, days=1)
    measured(settings, days=1, sessions=10)
    promote(releases, "2017-10-05T00:00:00+00:00")
    measured(settings, days=1)

    assert asked == [(1, DAYS[0]), (1, DAYS[0]), (2, DAYS[0])]


def test_which_sessions_are_drawn_of_a_day_does_not_depend_on_the_others(settings, releases, asked):
    measured(settings, days=1, sessions=5)
    resumed = measured(settings, days=3, sessions=5)["quality"]["all"]
    shutil.rmtree(settings.home / "bench")
    at_once = measured(settings, days=3, sessions=5)["quality"]["all"]

    assert resumed == at_once


def test_without_a_release_there_is_nothing_to_refresh(settings, asked):
    with pytest.raises(NotPrepared, match="recsys demo"):
        measured(settings)
