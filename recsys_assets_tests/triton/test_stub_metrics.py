import numpy as np
import pytest

from recsys_assets.pipeline.item_follower import FollowerState
from recsys_assets.pipeline.pipeline import Effort, Slates
from recsys_assets.pipeline.rank import Ranking
from recsys_assets.triton import metric_names, stub_metrics
from recsys_assets.triton.stub_metrics import StubMetrics
from recsys_assets_tests.serving import made_up_backend

FULL, FEWER, POPULAR = Effort


@pytest.fixture
def clock(monkeypatch):
    """Seconds that can be set."""
    now = [100.0]
    monkeypatch.setattr(stub_metrics.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def follower():
    """How far changes of items are followed; can be set."""
    return [FollowerState(position=0.0, age=0.5, off_sale=0)]


@pytest.fixture
def metrics(clock, follower, monkeypatch):
    monkeypatch.setattr(made_up_backend.MetricFamily, "families", {})
    return StubMetrics(made_up_backend, "7", "pipeline_0_1", lambda: follower[0])


def value(name, **labels):
    family = made_up_backend.MetricFamily.families[name]
    metric = family.metrics.get(frozenset({"release": "7", **labels}.items()))
    return None if metric is None else metric.value


def a_batch(rows=3, seconds=0.003, **changed):
    ranking = Ranking(np.arange(3), np.ones(3), np.arange(2), np.ones(2))
    values = {
        "rankings": [ranking] * rows,
        "columns": [{}] * rows,
        "degraded": np.zeros(rows, bool),
        "refused": np.zeros(rows, bool),
        "seconds": dict.fromkeys(("query", "retrieve", "rank"), seconds),
        "checked": 30,
        "excluded": 4,
    }
    return Slates(**values | changed)


def count(metrics, clock, slates, efforts=None):
    """Counts a batch a second after the one before, so that it is sent at once."""
    clock[0] += 1.0
    rows = len(slates.rankings)
    metrics.count(np.full(rows, FULL) if efforts is None else np.array(efforts), slates, 0.0001)


def test_every_declared_metric_has_a_family_of_its_kind(metrics):
    found = {name: one.kind for name, one in made_up_backend.MetricFamily.families.items()}
    assert found == {name: one.kind for name, one in metric_names.SERVED.items()}


def test_what_has_not_happened_is_zero_and_not_absent(metrics):
    for name in ("degraded_rows", "expired_rows", "refused_rows", "unlogged_answers"):
        assert value(f"recsys_{name}_total") == 0
    for name in ("seen_checked", "seen_excluded"):
        assert value(f"recsys_{name}_total") == 0
    for level in ("fewer_candidates", "popular"):
        assert value("recsys_shed_rows_total", level=level) == 0
    assert value("recsys_release_info") == 1


def test_seconds_and_rows_of_every_stage(metrics, clock):
    count(metrics, clock, a_batch(rows=3, seconds=0.003))
    for stage in ("query", "retrieve", "rank"):
        assert value("recsys_stage_seconds_total", stage=stage) == pytest.approx(0.003)
        assert value("recsys_stage_rows_total", stage=stage) == 3
    assert value("recsys_stage_seconds_total", stage="respond") == pytest.approx(0.0001)


def test_buckets_are_cumulative(metrics, clock):
    for seconds in (0.0004, 0.003, 5.0):
        count(metrics, clock, a_batch(seconds=seconds))
    found = {
        le: value("recsys_stage_seconds_bucket", stage="rank", le=le)
        for le in ("0.0005", "0.002", "0.005", "0.1", "+Inf")
    }
    assert found == {"0.0005": 1, "0.002": 1, "0.005": 2, "0.1": 2, "+Inf": 3}


@pytest.mark.parametrize(("rows", "size"), [(1, "1"), (3, "4"), (4, "4"), (17, "32"), (40, "40")])
def test_batches_by_size(metrics, clock, rows, size):
    count(metrics, clock, a_batch(rows))
    assert value("recsys_batch_rows_total", size=size) == 1


def test_shed_rows_are_no_outage(metrics, clock):
    degraded = np.array([True, False, True, True])
    slates = a_batch(4, degraded=degraded)
    count(metrics, clock, slates, [FULL, FULL, FEWER, POPULAR])
    assert value("recsys_degraded_rows_total") == 1
    assert value("recsys_shed_rows_total", level="fewer_candidates") == 1
    assert value("recsys_shed_rows_total", level="popular") == 1


def test_expired_rows_and_seen_items(metrics, clock):
    slates = a_batch(3)
    slates.rankings[1] = None
    count(metrics, clock, slates)
    assert value("recsys_expired_rows_total") == 1
    assert value("recsys_seen_checked_total") == 30
    assert value("recsys_seen_excluded_total") == 4


def test_who_is_refused_for_an_outage_has_not_expired(metrics, clock):
    slates = a_batch(2, refused=np.array([True, False]))
    slates.rankings[0] = None
    count(metrics, clock, slates)
    assert value("recsys_expired_rows_total") == 0
    assert value("recsys_refused_rows_total") == 1


def test_batches_are_summed_up_and_sent_once_a_second(metrics, clock, monkeypatch):
    monkeypatch.setattr(made_up_backend.MetricFamily, "sent", 0)
    efforts = np.full(3, FULL)
    for _ in range(5):
        clock[0] += 0.19
        metrics.count(efforts, a_batch(3), 0.0)
    assert made_up_backend.MetricFamily.sent == 0
    clock[0] += 0.19
    metrics.count(efforts, a_batch(3), 0.0)
    assert value("recsys_stage_rows_total", stage="rank") == 18
    sent = made_up_backend.MetricFamily.sent
    metrics.count(efforts, a_batch(3), 0.0)
    assert made_up_backend.MetricFamily.sent == sent


def test_how_far_changes_of_items_are_followed(metrics, clock, follower):
    def told():
        names = ("position_seconds", "age_seconds", "off_sale")
        return [value(f"recsys_items_{name}", process="pipeline_0_1") for name in names]

    assert told() == [0, 0.5, 0]
    follower[0] = FollowerState(position=1_795_435_140.25, age=7.0, off_sale=3)
    count(metrics, clock, a_batch())
    assert told() == [1_795_435_140.25, 7.0, 3]


def test_answers_that_the_log_could_not_take(metrics, clock):
    metrics.count_unlogged(0)
    metrics.count_unlogged(1)
    metrics.count_unlogged(1)
    count(metrics, clock, a_batch())
    assert value("recsys_unlogged_answers_total") == 2
