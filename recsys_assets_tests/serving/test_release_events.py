import json

import pytest

from recsys_assets.serving import release_events
from recsys_assets.serving.release import Promoted, Reason, Releases
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


def test_a_change_that_a_kill_kept_from_being_made_is_not_shown(releases, folder, monkeypatch):
    releases.record(1, (), DRIFT)
    write = release_events.write_atomically

    def killed_before_the_pointer(url, data):
        if url.endswith("promoted.json"):
            raise KeyboardInterrupt
        write(url, data)

    monkeypatch.setattr(release_events, "write_atomically", killed_before_the_pointer)
    with pytest.raises(KeyboardInterrupt):
        releases.record(2, (1,), DRIFT)
    monkeypatch.undo()
    assert len(list((folder / "events").iterdir())) == 2
    assert [change.release for change in releases.history()] == [1]
    releases.record(3, (1,), DRIFT)
    assert [change.release for change in releases.history()] == [1, 3]


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
