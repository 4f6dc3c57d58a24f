import numpy as np
import pytest

from benchmarks.serving.measuring import combine, summarize
from benchmarks.serving.outcomes import ANSWERED, DEADLINE, REFUSED
from recsys_assets_tests.benchmarks.serving.made_up import outcomes, summary


def test_percentiles_of_latencies():
    found = summarize(outcomes(np.arange(1000) / 1000, latency_ms=np.arange(1, 1001)), 0, 3)
    assert found.p50_ms == pytest.approx(500, abs=1)
    assert found.p90_ms == pytest.approx(900, abs=1)
    assert found.p99_ms == pytest.approx(990, abs=1)
    assert found.p999_ms == pytest.approx(999, abs=1)
    assert (found.max_ms, found.mean_ms) == (pytest.approx(1000), pytest.approx(500.5))


def test_latency_counts_from_when_a_request_was_due():
    found = summarize(outcomes([0.0, 0.1], latency_ms=50, lag_ms=40), 0, 1)
    assert found.p50_ms == pytest.approx(50)
    assert found.late_generator and found.lag_p99_ms == pytest.approx(40)
    assert not summarize(outcomes([0.0, 0.1], lag_ms=0.2), 0, 1).late_generator


def test_the_warm_up_is_left_out():
    due = np.arange(0, 4, 0.01)
    found = summarize(outcomes(due, latency_ms=np.where(due < 2, 900, 1)), 2, 4)
    assert (found.requests, found.offered_rps) == (200, 100)
    assert found.max_ms == pytest.approx(1)


def test_a_server_that_falls_behind_achieves_less_than_it_is_offered():
    due = np.arange(0, 2, 0.01)
    found = summarize(outcomes(due, latency_ms=due * 1000), 0, 2)
    assert found.offered_rps == 100
    assert found.achieved_rps == pytest.approx(50, abs=1)


def test_refusals_are_errors_but_not_latencies():
    found = summarize(
        outcomes([0.1, 0.2, 0.3, 0.4], [1, 2, 1000, 2000], [ANSWERED, ANSWERED, REFUSED, DEADLINE]),
        0,
        3,
    )
    assert found.errors == 2
    assert found.errors_by_kind == {REFUSED: 1, DEADLINE: 1}
    assert found.max_ms == pytest.approx(2000)
    assert found.achieved_rps == pytest.approx(2 / 3, abs=0.01)


def test_degraded_answers_are_a_share_and_not_full():
    found = summarize(outcomes([0.1, 0.2, 0.3, 0.4], degraded=[True, False, False, False]), 0, 1)
    assert found.degraded == 0.25
    assert (found.achieved_rps, found.full_rps) == (4, 3)


def test_nothing_due_is_refused():
    with pytest.raises(ValueError, match="measure for longer"):
        summarize(outcomes([0.1]), 5, 6)


def test_repetitions_give_medians_sums_and_a_spread():
    found = combine(
        [
            summary(p50_ms=1.0, errors=1, errors_by_kind={REFUSED: 1}),
            summary(p50_ms=2.0, max_ms=80.0),
            summary(p50_ms=9.0, errors=2, errors_by_kind={REFUSED: 2}),
        ]
    )
    assert found.p50_ms == 2.0
    assert found.spread["p50_ms"] == [1.0, 9.0]
    assert (found.errors, found.errors_by_kind) == (3, {REFUSED: 3})
    assert (found.repetitions, found.max_ms) == (3, 80.0)
