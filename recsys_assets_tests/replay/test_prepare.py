import pyarrow as pa
import pytest

from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from replay import prepare

DAYS = ["2017-10-01", "2017-10-02", "2017-10-03"]
RECORDED, EXAMPLES = prepare.FEATURES, prepare._EXAMPLES


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What is materialized when so many first days of each group are there."""
    settings = load_settings({"RECSYS_HOME": str(tmp_path)})
    store, runs = Store(settings.storage_url), []
    monkeypatch.setattr(
        prepare,
        "run_narrated",
        lambda settings, instance, job, keys, days, screen: runs.append(
            (tuple(key.to_user_string() for key in keys), days)
        ),
    )

    def ask(recorded, examples, **groups):
        for tables, count in ((RECORDED, recorded), (EXAMPLES, examples)):
            for day in DAYS[:count]:
                for name in tables:
                    store.table(name).write(pa.table({"user_id": ["ann"]}), day)
        first, *_, last = map(prepare.date.fromisoformat, DAYS)
        prepare.prepare(settings, None, first, last, None, **groups)
        return runs

    return ask


def test_everything_is_made_in_two_runs(asked):
    assert asked(0, 0) == [(RECORDED, DAYS), (EXAMPLES, DAYS)]


def test_what_is_there_is_not_made_again(asked):
    assert asked(2, 1) == [(RECORDED, DAYS[2:]), (EXAMPLES, DAYS[1:])]


def test_when_nothing_is_missing_nothing_is_run(asked):
    assert asked(3, 3) == []


def test_only_what_is_asked_for_is_made(asked):
    assert asked(1, 0, groups=(RECORDED,)) == [(RECORDED, DAYS[1:])]
