"""What Prometheus is told, before the store answers, while it does, and after."""

import shutil

import pytest

from recsys_assets.exporter.metrics import StoreMetrics
from recsys_assets.exporter.reading import StoreReader
from recsys_assets.storage import Store
from recsys_assets_tests.exporter.made_up_store import small_store


@pytest.fixture
def metrics(tmp_path):
    return StoreMetrics(StoreReader(small_store(tmp_path / "storage")))


def told(metrics):
    families = metrics.registry.collect()
    return {sample.name for family in families for sample in family.samples}


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(f"recsys_{name}", labels)


def test_before_the_first_reading_nothing_is_made_up(tmp_path):
    metrics = StoreMetrics(StoreReader(Store((tmp_path / "away").as_uri())))
    metrics.look()
    assert told(metrics) == {"recsys_store_reachable", "recsys_exporter_read_seconds"}
    assert value(metrics, "store_reachable") == 0


def test_a_store_that_answers(metrics):
    metrics.look()
    assert value(metrics, "store_reachable") == 1
    assert value(metrics, "promoted_release") == 1
    assert value(metrics, "drift_alarming") == 1
    assert value(metrics, "business_alarming") == 1
    assert value(metrics, "drift_psi", feature="price_ratio") == 0.31
    assert value(metrics, "graph_alert_timestamp_seconds", kind="run_failed") > 0
    assert value(metrics, "exporter_unreadable", part="release") == 0


def test_a_store_that_is_away_leaves_the_last_values_and_says_when_they_were_read(
    metrics, tmp_path
):
    metrics.look()
    read_at = value(metrics, "exporter_read_timestamp_seconds")
    before = {name: value(metrics, name) for name in ("promoted_release", "drift_alarming")}
    shutil.rmtree(tmp_path / "storage")
    metrics.look()

    assert value(metrics, "store_reachable") == 0
    assert {name: value(metrics, name) for name in before} == before
    assert value(metrics, "exporter_read_timestamp_seconds") == read_at


def test_a_store_that_comes_back_is_read_again(metrics, tmp_path):
    shutil.move(tmp_path / "storage", tmp_path / "elsewhere")
    metrics.look()
    shutil.move(tmp_path / "elsewhere", tmp_path / "storage")
    metrics.look()
    assert value(metrics, "store_reachable") == 1
    assert value(metrics, "promoted_release") == 1


def test_a_part_that_is_broken_is_told_by_name(metrics, tmp_path):
    (tmp_path / "storage/releases/promoted.json").write_text("{")
    metrics.look()
    assert value(metrics, "exporter_unreadable", part="release") == 1
    assert value(metrics, "exporter_unreadable", part="drift") == 0
    assert value(metrics, "store_reachable") == 1
