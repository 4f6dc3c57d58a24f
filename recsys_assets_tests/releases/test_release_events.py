import json
from dataclasses import asdict

import pytest

from recsys_assets.releases import release_events
from recsys_assets.releases.release import Promoted, Reason, Releases
from recsys_assets.releases.release_events import ChangedMeanwhile, UnreadableRecord
from recsys_assets.storage import Store

DRIFT = Reason("prices have changed", "drift_sensor")
PERSON = Reason("it recommends nothing but milk", "ann")


@pytest.fixture
def releases(tmp_path):
    return Releases(Store((tmp_path / "storage").as_uri()))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "storage/releases"


def test_every_change_says_what_it_replaced_why_and_by_whom(releases):
    releases.record(1, (), Reason("initial training", "run 1"))
    releases.record(2, (1,), DRIFT)
    back = releases.record(1, (), PERSON, "rolled back")
    assert releases.promoted() == back
    assert (back.cause, back.by) == ("it recommends nothing but milk", "ann")
    assert [(c.number, c.action, c.replaced, c.release, c.by) for c in releases.history()] == [
        (1, "promoted", None, 1, "run 1"),
        (2, "promoted", 1, 2, "drift_sensor"),
        (3, "rolled back", 2, 1, "ann"),
    ]


def test_before_the_first_change_there_is_no_history(releases):
    assert releases.promoted() is None
    assert releases.history() == []


def test_a_change_that_a_kill_kept_from_being_made_is_not_shown(releases, monkeypatch):
    releases.record(1, (), DRIFT)

    def killed_before_the_pointer(_url, _data, _version):
        raise KeyboardInterrupt

    monkeypatch.setattr(release_events, "write_if_unchanged", killed_before_the_pointer)
    with pytest.raises(KeyboardInterrupt):
        releases.record(2, (1,), DRIFT)
    monkeypatch.undo()
    assert [change.release for change in releases.history()] == [1]
    releases.record(3, (1,), DRIFT)
    assert [change.release for change in releases.history()] == [1, 3]


def test_an_event_of_a_change_that_never_was_is_not_shown(releases, folder):
    first = releases.record(1, (), DRIFT)
    never = {**asdict(first), "number": 2, "release": 9}
    (folder / "events").mkdir()
    (folder / "events/00000002.json").write_text(json.dumps(never))
    releases.record(3, (1,), DRIFT)
    releases.record(4, (3,), DRIFT)
    assert [change.release for change in releases.history()] == [1, 3, 4]


def test_of_two_changes_at_once_one_wins_and_the_other_is_told(releases, folder, monkeypatch):
    releases.record(1, (), DRIFT)
    write = release_events.write_if_unchanged

    def just_after_another(url, data, version):
        monkeypatch.undo()
        releases.record(2, (1,), DRIFT)
        return write(url, data, version)

    monkeypatch.setattr(release_events, "write_if_unchanged", just_after_another)
    with pytest.raises(ChangedMeanwhile, match=r"release 3 was not .* release 2 \(by drift_sensor"):
        releases.record(3, (1,), PERSON)
    assert [change.release for change in releases.history()] == [1, 2]
    assert releases.record(3, (2,), PERSON).number == 3
    assert [change.release for change in releases.history()] == [1, 2, 3]


def test_a_change_whose_answer_was_lost_is_not_taken_for_another(releases, monkeypatch):
    write = release_events.write_if_unchanged

    def written_but_refused(url, data, version):
        monkeypatch.undo()
        write(url, data, version)
        releases.record(2, (1,), DRIFT)
        return False

    monkeypatch.setattr(release_events, "write_if_unchanged", written_but_refused)
    assert releases.record(1, (), PERSON).number == 1
    assert [change.release for change in releases.history()] == [1, 2]


def test_a_change_may_be_tied_to_the_one_that_was_looked_at(releases):
    with pytest.raises(ChangedMeanwhile, match="nothing has been made live"):
        releases.record(2, (), DRIFT, expected=Promoted(1, (), "2026-11-01T00:00:00+00:00"))
    first = releases.record(1, (), DRIFT, expected=None)
    with pytest.raises(ChangedMeanwhile, match="release 1"):
        releases.record(2, (), DRIFT, expected=None)
    second = releases.record(2, (1,), DRIFT, expected=first)
    assert releases.history() == [first, second]


def test_a_clock_that_goes_back_does_not_change_the_order(releases, monkeypatch):
    class Clock(release_events.datetime):
        years = iter([2026, 2017])

        @classmethod
        def now(cls, tz):
            return cls(next(cls.years), 1, 1, tzinfo=tz)

    monkeypatch.setattr(release_events, "datetime", Clock)
    releases.record(1, (), DRIFT)
    releases.record(2, (1,), DRIFT)
    assert [change.release for change in releases.history()] == [1, 2]
    assert releases.promoted().release == 2


def test_a_record_from_before_changes_were_counted_is_read(releases, folder):
    folder.mkdir(parents=True)
    record = {"release": 4, "before": [2, 3], "promoted_at": "2026-11-01T00:00:00+00:00"}
    (folder / "promoted.json").write_text(json.dumps(record))
    assert releases.promoted() == Promoted(4, (2, 3), "2026-11-01T00:00:00+00:00")
    assert releases.history() == [releases.promoted()]
    assert releases.record(5, (2, 3, 4), DRIFT).number == 1


def test_metadata_are_plain_values(releases):
    releases.record(1, (), DRIFT)
    assert releases.promoted().as_metadata() == {
        "release": 1,
        "previous": "none",
        "replaced": "none",
        "promoted_at": releases.promoted().promoted_at,
        "action": "promoted",
        "cause": "prices have changed",
        "by": "drift_sensor",
        "change": 1,
    }


class TestDamaged:
    @pytest.mark.parametrize("damaged", ["", "{", "[]", '{"release": 2}'])
    def test_a_record_names_itself_and_the_remedy_and_nothing_replaces_it(
        self, releases, folder, damaged
    ):
        first = releases.record(1, (), DRIFT)
        (folder / "promoted.json").write_text(damaged)
        for do in (releases.promoted, releases.history, lambda: releases.record(3, (1,), DRIFT)):
            with pytest.raises(UnreadableRecord, match=r"promoted\.json cannot be read .*put back"):
                do()
        assert (folder / "promoted.json").read_text() == damaged
        (folder / "promoted.json").write_text(json.dumps(asdict(first)))
        assert releases.promoted() == first

    def test_an_earlier_change_is_named(self, releases, folder):
        releases.record(1, (), DRIFT)
        releases.record(2, (1,), DRIFT)
        (folder / "events/00000001.json").write_text("{")
        assert releases.promoted().release == 2
        with pytest.raises(UnreadableRecord, match=r"events/00000001\.json cannot be read"):
            releases.history()

    def test_a_rejection_is_named(self, releases, folder):
        (folder / "rejected").mkdir(parents=True)
        (folder / "rejected/2").write_text("{}")
        with pytest.raises(UnreadableRecord, match="rejected/2 cannot be read"):
            releases.rejection(2)


def test_what_a_later_version_writes_beyond_it_is_left_alone(releases, folder):
    first = releases.record(1, (), DRIFT)
    (folder / "promoted.json").write_text(json.dumps({**asdict(first), "approved_by": "ann"}))
    assert releases.promoted() == first
    assert releases.record(2, (1,), DRIFT, expected=first).replaced == 1
