import numpy as np
import pytest

from benchmarks.serving.outcomes import ANSWERED, OTHER, REFUSED
from benchmarks.serving.overload import Burst, describe, measured_capacity, write_files
from recsys_assets.runtime.processes import ServiceError
from recsys_assets_tests.benchmarks.serving.made_up import outcomes
from recsys_assets_tests.serving.fixtures import settings_in

BURST = Burst(before=3, burst=4, after=7, normal_rps=50, burst_rps=200, batch_share=0.2)
DUE = np.arange(0, 14, 0.02)
DURING = (DUE >= 3) & (DUE < 7)


def test_refusals_in_the_burst_are_as_stated():
    found = describe(
        outcomes(DUE, kind=np.where(DURING & (DUE % 0.1 < 0.05), REFUSED, ANSWERED)),
        {"popular": 12},
        BURST,
    )
    assert all(found["met"].values())
    assert found["phases"]["burst"]["errors_by_kind"][REFUSED] > 0
    assert found["phases"]["before"]["errors"] == found["phases"]["after"]["errors"] == 0
    assert found["shed_rows"] == {"popular": 12}
    assert found["seconds_until_normal"] == 0


def test_slow_answers_other_failures_and_a_late_recovery_are_named():
    latency = np.where(DURING, 80.0, np.where(DUE < 12.5, 5.0, 1.0))
    kind = np.where(np.arange(len(DUE)) == 200, OTHER, ANSWERED)
    found = describe(outcomes(DUE, latency, kind, messages={200: "broken"}), {}, BURST)
    assert found["unexpected_errors"] == {"broken": 1}
    late = outcomes(DUE, np.where((DUE > 7) & (DUE < 13), 50.0, 1.0))
    met = list(found["met"].values()) + list(describe(late, {}, BURST)["met"].values())
    assert met == [False, False, True, True, True, False]


def test_arrivals_follow_the_phases():
    counts, _ = np.histogram(BURST.arrivals(seed=1), [0, 3, 7, 14])
    assert counts == pytest.approx([150, 800, 350], rel=0.2)


def test_files(tmp_path):
    load = outcomes(DUE)
    path = write_files(describe(load, {}, BURST), load, BURST, tmp_path)
    assert path.name == "overload.json"
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_without_a_measured_capacity_it_says_what_to_do(tmp_path):
    with pytest.raises(ServiceError, match="--capacity"):
        measured_capacity(settings_in(tmp_path))
