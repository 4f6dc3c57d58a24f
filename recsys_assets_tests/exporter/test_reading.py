"""What is read of a store, what it costs, and what becomes of a store that is away or broken."""

import shutil
import time
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from recsys_assets.exporter import reading
from recsys_assets.exporter.reading import Facts, StoreAway, StoreReader
from recsys_assets.storage import Store
from recsys_assets_tests.exporter.made_up_store import publish, report_drift, small_store


def midnight(day):
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


@pytest.fixture
def store(tmp_path):
    return small_store(tmp_path / "storage")


def test_the_newest_of_everything_is_told(store):
    facts, unread = StoreReader(store).read()

    assert unread == {}
    assert facts.release.number == 1
    assert time.time() - facts.release.promoted_at < 60
    assert facts.release.trained_through == midnight("2025-03-07")
    assert facts.release.data_through == midnight("2025-03-09")
    assert facts.drift.day == midnight("2025-03-08")
    assert facts.drift.alarming
    assert facts.drift.psi == {"price_ratio": 0.31, "device": 0.02}
    assert facts.business.day == midnight("2025-03-08")
    assert facts.business.alarming
    assert facts.interactions == midnight("2025-03-09")
    assert facts.answers == 2
    assert time.time() - facts.alerts["run_failed"] < 60


def test_a_store_in_which_nothing_has_happened_yet_holds_zeros(tmp_path):
    store = Store(tmp_path.as_uri())
    assert StoreReader(store).read() == (Facts(), {})


def test_a_new_release_and_a_new_report_are_seen(store):
    reader = StoreReader(store)
    reader.read()
    publish(store, "2025-03-09")
    report_drift(store, "2025-03-09", "ok", price_ratio=0.02)

    facts, _ = reader.read()
    assert (facts.release.number, facts.release.trained_through) == (2, midnight("2025-03-09"))
    assert not facts.drift.alarming
    assert facts.drift.psi == {"price_ratio": 0.02}


def test_a_day_with_too_few_sessions_does_not_alarm(store):
    report_drift(store, "2025-03-09", "too_few_samples")
    facts, _ = StoreReader(store).read()
    assert (facts.drift.day, facts.drift.alarming, facts.drift.psi) == (
        midnight("2025-03-09"),
        False,
        {},
    )


def test_a_folder_of_a_day_without_a_partition_is_passed_over(store, tmp_path):
    (tmp_path / "storage/tables/interactions/day=2025-03-10").mkdir()
    facts, _ = StoreReader(store).read()
    assert facts.interactions == midnight("2025-03-09")


@pytest.mark.parametrize(
    ("part", "path", "content"),
    [
        ("release", "releases/promoted.json", b"{"),
        ("release", "releases/promoted.json", b'{"release": 1}'),
        ("release", "releases/1/manifest.json", b"{}"),
        ("drift", "tables/drift_report/day=2025-03-08/data.parquet", b"PAR1 is not all"),
        ("business", "tables/business_metrics/day=2025-03-08/data.parquet", b""),
        ("interactions", "tables/interactions/day=yesterday/data.parquet", b""),
        ("answers", "answers/day=2025-03-09/nonsense.parquet", b""),
        ("alerts", "alerts/nonsense.json", b""),
    ],
)
def test_what_is_broken_is_named_and_all_else_is_read(store, tmp_path, part, path, content):
    broken = tmp_path / "storage" / path
    broken.parent.mkdir(exist_ok=True)
    broken.write_bytes(content)

    facts, unread = StoreReader(store).read()
    assert list(unread) == [part]
    assert getattr(facts, part) == getattr(Facts(), part)
    others = [name for name in reading.PARTS if name != part]
    assert all(getattr(facts, name) != getattr(Facts(), name) for name in others)


@pytest.mark.parametrize("rows", [[], [{"day": "2025-03-09"}]])
def test_a_report_without_a_row_or_a_column_is_named(store, rows):
    table = pa.Table.from_pylist(rows, pa.schema([("day", pa.string())]))
    store.table("drift_report").write(table, "2025-03-09")
    _, unread = StoreReader(store).read()
    assert list(unread) == ["drift"]


def test_what_cannot_be_read_any_more_stays_as_it_was(store, tmp_path):
    reader = StoreReader(store)
    before, _ = reader.read()
    (tmp_path / "storage/releases/promoted.json").write_text("{")
    report_drift(store, "2025-03-09", "ok")

    after, unread = reader.read()
    assert list(unread) == ["release"]
    assert after.release == before.release
    assert after.drift.day == midnight("2025-03-09")


def test_a_store_that_is_gone_says_what_to_look_at(store, tmp_path):
    reader = StoreReader(store)
    reader.read()
    shutil.rmtree(tmp_path / "storage")
    with pytest.raises(StoreAway, match="RECSYS_STORAGE"):
        reader.read()


def test_a_store_that_does_not_answer_is_away(store, monkeypatch):
    def away(url):
        raise OSError("AWS Error NETWORK_CONNECTION")

    monkeypatch.setattr(reading, "exists", away)
    with pytest.raises(StoreAway, match="NETWORK_CONNECTION"):
        StoreReader(store).read()


def test_a_year_of_days_costs_as_many_requests_as_a_day(store, monkeypatch):
    for number in range(1, 61):
        moment = f"2025-{1 + number // 28:02d}-{1 + number % 28:02d}"
        store.table("interactions").write(pa.table({"user_id": ["ann"]}), moment)
    listed, asked = [], []
    monkeypatch.setattr(reading, "children", counting(listed, reading.children))
    monkeypatch.setattr(type(store.table("x")), "has", counting(asked, type(store.table("x")).has))

    StoreReader(store).read()
    assert len(listed) == 3
    assert len(asked) == 3


def counting(calls, function):
    def counted(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return counted
