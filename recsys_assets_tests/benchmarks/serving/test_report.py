import json

import pytest

from benchmarks.machine import describe_machine
from benchmarks.serving import report
from benchmarks.serving.extent import QUICK
from benchmarks.serving.layouts import CASE_STUDY, CASE_STUDY_CACHED, FLOOR, OURS
from benchmarks.serving.measuring import combine
from benchmarks.serving.requests import Population
from benchmarks.serving.run import ServingBenchmark, write_files
from benchmarks.serving.servers import ServerFigures
from recsys_assets_tests.benchmarks.serving.made_up import summary
from recsys_assets_tests.serving.fixtures import settings_in

PARTS = {"queue_ms": 0.2, "compute_infer_ms": 3.0}


def figures(saturation, bearable, p50_ms):
    rates = {
        50.0: summary(50),
        100.0: combine([summary(p50_ms=p50_ms), summary(p50_ms=p50_ms + 0.2)]),
    }
    stages = {"rate": 100.0, "pipeline": PARTS, "stages": {"query_ms": 0.3}}
    return ServerFigures(rates, bearable, saturation, {4: summary()}, stages, {}, 10)


@pytest.fixture
def found(tmp_path):
    benchmark = ServingBenchmark(
        settings_in(tmp_path), Population(["ann"], 86_400), QUICK, lambda _: None
    )
    measured = {
        OURS: figures(900.0, 500.0, 3.8),
        CASE_STUDY: figures(9.0, 0.0, 800.0),
        CASE_STUDY_CACHED: figures(90.0, 50.0, 30.0),
        FLOOR: ServerFigures({100.0: summary(p50_ms=2.0)}, 250.0, 300.0, {}, {}, {}, 0),
    }
    return benchmark._report(measured, describe_machine())


def test_the_report_has_the_stated_form(found):
    assert {"layouts", "ratios", "stages", "usage", "machine", "settings"} <= set(found)
    assert list(found["layouts"]) == ["ours", "case_study", "case_study_cached", "floor"]
    for layout in found["layouts"].values():
        stated = layout["rates"]["100"]
        assert {"p50_ms", "p90_ms", "p99_ms", "p999_ms", "errors"} <= set(stated)
        assert {"throughput_at_p99_25ms", "saturation_rps"} <= set(layout)


def test_ratios_are_ours_over_the_peers(found):
    assert found["ratios"] == {
        "saturation_over_case_study": 100.0,
        "throughput_at_p99_25ms_over_case_study": None,
        "saturation_over_case_study_cached": 10.0,
        "throughput_at_p99_25ms_over_case_study_cached": 10.0,
        "p50_over_floor": pytest.approx(1.95),
    }


def test_a_layout_that_was_not_measured_has_no_ratio():
    assert set(report.ratios({}).values()) == {None}


def test_files_hold_no_nan(found, tmp_path):
    found["layouts"][OURS]["rates"]["100"]["p99_ms"] = float("nan")
    path, table, picture = write_files(found, tmp_path / "bench")
    assert (path.name, table.name) == ("serving.json", "serving.md")
    assert json.loads(path.read_text())["layouts"]["ours"]["rates"]["100"]["p99_ms"] is None
    assert "| ours | 3.9 / 1 / - / 1 |" in table.read_text()
    assert "in 2 runs" in table.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")
