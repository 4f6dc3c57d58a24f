"""What Prometheus is told, before the store answers, while it does, and after."""

import shutil
from math import isnan

import pytest
import redis

from recsys_assets.exporter.metrics import StoreMetrics, UncollectedAnswers
from recsys_assets.exporter.reading import StoreReader
from recsys_assets.storage import Store
from recsys_assets_tests.exporter.made_up_store import small_store


class Stream:
    """An online store with so many answers; None if it is away."""

    def __init__(self, length=0):
        self.length = length

    def xlen(self, _):
        if self.length is None:
            raise redis.ConnectionError("refused")
        return self.length


@pytest.fixture
def stream():
    return Stream(7)


@pytest.fixture
def metrics(tmp_path, stream):
    reader = StoreReader(small_store(tmp_path / "storage"))
    return StoreMetrics(reader, UncollectedAnswers(stream, 1000))


def told(metrics):
    families = metrics.registry.collect()
    return {sample.name for family in families for sample in family.samples}


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(f"recsys_{name}", labels)


def test_before_the_first_reading_nothing_is_made_up(tmp_path):
    reader = StoreReader(Store((tmp_path / "away").as_uri()))
    metrics = StoreMetrics(reader, UncollectedAnswers(Stream(), 1000))
    metrics.look()
    assert told(metrics) == {
        "recsys_store_reachable",
        "recsys_exporter_read_seconds",
        "recsys_uncollected_answers",
        "recsys_uncollected_answers_limit",
    }
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


def test_answers_that_wait_are_told_wherever_they_do(metrics, stream):
    metrics.look()
    assert value(metrics, "uncollected_answers") == 7
    assert value(metrics, "uncollected_answers_limit") == 1000
    assert value(metrics, "answers_in_parts") == 2

    stream.length = None
    metrics.look()
    assert isnan(value(metrics, "uncollected_answers"))
    assert value(metrics, "answers_in_parts") == 2


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
