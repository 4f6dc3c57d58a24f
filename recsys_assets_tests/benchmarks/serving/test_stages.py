import pytest

from benchmarks.serving.stages import StageTimes, read_samples, times_between, total

METRICS = """# HELP recsys_stage_seconds_total Seconds
# TYPE recsys_stage_seconds_total counter
recsys_stage_seconds_total{release="1",stage="query"} 0.5
recsys_stage_seconds_total{release="2",stage="query"} 1.5
recsys_stage_rows_total{release="1",stage="query"} 100
recsys_stage_rows_total{release="2",stage="query"} 900
nv_energy 1e3
"""


def counted(infer_ns, requests, text=""):
    parts = {"queue": infer_ns // 10, "compute_infer": infer_ns}
    return StageTimes({"pipeline": parts}, {"pipeline": requests}, read_samples(text))


def test_samples_of_prometheus_are_read_and_summed_by_a_label():
    samples = read_samples(METRICS)
    assert samples["nv_energy", ()] == 1000
    assert total(samples, "recsys_stage_rows_total", by="stage") == {"query": 1000}
    assert total(samples, "recsys_stage_rows_total", by="release") == {"1": 100, "2": 900}


def test_times_are_of_what_came_in_between():
    found = times_between(counted(10_000_000, 10), counted(40_000_000, 20, METRICS))
    assert found["pipeline"]["compute_infer_ms"] == pytest.approx(3.0)
    assert found["pipeline"]["queue_ms"] == pytest.approx(0.3)
    assert found["stages"] == {"query_ms": pytest.approx(2.0)}


def test_a_model_that_was_not_asked_is_left_out():
    assert times_between(counted(1, 5), counted(1, 5)) == {}
