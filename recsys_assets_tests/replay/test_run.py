"""What a replay refuses before it begins, and what makes it stop."""

import fcntl
import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from recsys_assets.monitoring.closed_days import close_day
from recsys_assets.releases.release import Reason
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from recsys_assets.terminal.screen import Screen
from recsys_assets_tests.replay.made_up import Shop, answer, traffic
from replay import run
from replay.__main__ import main
from replay.daemon import ReplayStuck
from replay.record import DayRecord, write_day

YEAR = {"RECSYS_FIRST_DAY": "2017-01-01", "RECSYS_LAST_DAY": "2017-10-05"}


@pytest.fixture
def environment(tmp_path, monkeypatch):
    variables = YEAR | {"RECSYS_HOME": str(tmp_path), "RECSYS_TODAY": "2017-10-01"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def refusal(*arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
    return result.output


def test_days_that_were_not_recorded_are_refused(environment):
    assert "replay at most 5 days" in refusal("--days", "6")


def test_days_of_a_source_that_goes_on_must_be_over(environment, monkeypatch):
    today = datetime.now(UTC).date()
    monkeypatch.setenv("RECSYS_SOURCE", "parquet")
    monkeypatch.setenv("RECSYS_SOURCE_URL", "/nowhere")
    monkeypatch.setenv("RECSYS_TODAY", (today - timedelta(days=2)).isoformat())
    monkeypatch.delenv("RECSYS_LAST_DAY")

    assert "replay at most 2 days" in refusal("--days", "3")


def test_a_replay_needs_a_release_to_begin_with(environment):
    assert "no release is promoted: run `recsys demo` first" in refusal("--days", "2")


@pytest.mark.parametrize("arguments", [("--days", "0"), ("--rate", "0")])
def test_no_days_and_no_rate_are_refused(environment, arguments):
    assert "is not in the range" in refusal(*arguments)


def test_two_replays_at_once_are_refused(environment, tmp_path):
    (tmp_path / "replay").mkdir()
    with (tmp_path / "replay/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert "another replay" in refusal("--days", "2")


def test_days_that_are_done_are_not_repeated(tmp_path):
    store, settings = Store(tmp_path.as_uri()), load_settings(YEAR)
    write_day(store, DayRecord("2017-10-01", 1, 2, 3, 0, 0, 0, 4.0, 5.0, 6.0))

    left = run._days_left(store, settings.today, settings.last_day)

    assert left == ["2017-10-02", "2017-10-03", "2017-10-04", "2017-10-05"]


def test_the_first_release_is_remembered(tmp_path):
    settings = load_settings({"RECSYS_HOME": str(tmp_path)})
    releases = run.Releases(Store(settings.storage_url))
    releases.record(3, (), Reason("a test", "a test"))
    assert run._first_release(settings, releases.store) == 3

    releases.record(4, (3,), Reason("a test", "a test"))

    assert run._first_release(settings, releases.store) == 3


class Frozen:
    def answer(self, sessions, seen):
        return SimpleNamespace(slates=[np.array(["tea"], dtype=object)] * len(sessions))


class Daemon:
    """Has worked on every day at once."""

    instance = None

    def wait_for_day(self, job, day):
        return None

    def wait_for_decisions(self, since):
        return None

    def is_changing(self):
        return False


@pytest.fixture
def replay(tmp_path, monkeypatch):
    """A replay whose server, daemon and first release are made up."""
    settings = load_settings({"RECSYS_HOME": str(tmp_path)})
    store = Store(settings.storage_url)
    run.Releases(store).record(7, (), Reason("a test", "a test"))
    monkeypatch.setattr(run.Releases, "fetch", lambda self, release: None)
    monkeypatch.setattr(run.OfflineRelease, "load", lambda folder, release: Frozen())
    monkeypatch.setattr(run.DayTraffic, "of", lambda store, day: traffic(3, day))
    monkeypatch.setattr(run, "_ended_at", lambda instance, run: 0.0)

    def make(shop):
        load = run.Load("nowhere", 500.0, shop.client)
        return load, run._Replay(settings, store, Daemon(), load, 7, Screen(io.StringIO()))

    return make, store


def test_a_day_is_sent_recorded_and_closed(replay):
    make, store = replay
    load, of_days = make(Shop())
    with load:
        of_days.day("2017-10-01")

    (record,) = run.read_days(store)
    assert (record.day, record.sessions, record.requests) == ("2017-10-01", 3, 3)
    assert (record.failed, record.wrong_release, record.live_release) == (0, 0, 7)
    assert store.table("replay_slates").has("2017-10-01")


def test_sessions_of_a_closed_day_are_not_sent_again(replay):
    make, store = replay
    shop = Shop()
    load, of_days = make(shop)
    close_day(store, "2017-10-01")
    with load:
        of_days.day("2017-10-01")

    assert shop.asked == []
    assert [record.day for record in run.read_days(store)] == ["2017-10-01"]


def test_a_day_without_any_answer_stops_the_replay_and_stays_open(replay):
    make, store = replay
    load, of_days = make(Shop(refuses=True))
    with load, pytest.raises(ReplayStuck, match="the ranker is dead"):
        of_days.day("2017-10-01")

    assert run.closed_days(store) == []
    assert run.read_days(store) == []


def test_a_refused_request_and_an_empty_slate_have_failed():
    good, refused = answer(item_ids=("milk",)), answer(error="the ranker is dead")

    assert run._failed([good, refused, answer(item_ids=())]) == 2
