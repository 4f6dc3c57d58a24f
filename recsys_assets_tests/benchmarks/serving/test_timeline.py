import numpy as np

from benchmarks.serving.outcomes import ANSWERED, DEADLINE, OTHER, REFUSED
from benchmarks.serving.timeline import (
    by_second,
    late_seconds,
    seconds_until_normal,
    seconds_until_whole,
    unexpected,
)
from recsys_assets_tests.benchmarks.serving.made_up import outcomes

DUE = np.arange(0, 10, 0.01)


def load(latency_ms=5.0, kind=ANSWERED, degraded=False):
    return by_second(outcomes(DUE, latency_ms, kind, degraded), 10)


def test_each_second_counts_what_was_due_in_it():
    kind = np.where(DUE < 1, REFUSED, ANSWERED)
    first, second, *_ = load(kind=kind, degraded=(DUE >= 1) & (DUE < 2))
    assert (first.offered, first.answered, first.failed) == (100, 0, {REFUSED: 100})
    assert np.isnan(first.p99_ms)
    assert (second.answered, second.degraded, second.failed) == (100, 100, {})


def test_normal_again_after_the_last_slow_refused_or_degraded_second():
    assert seconds_until_normal(load(), since=4, before_p99_ms=5) == 0.0
    slow = load(latency_ms=np.where((DUE >= 4) & (DUE < 6), 9, 5))
    assert seconds_until_normal(slow, since=4, before_p99_ms=5) == 2
    refused = load(kind=np.where((DUE >= 6.5) & (DUE < 6.6), REFUSED, ANSWERED))
    assert seconds_until_normal(refused, since=4, before_p99_ms=5) == 3
    assert seconds_until_normal(load(degraded=DUE > 9), since=4, before_p99_ms=5) is None


def test_whole_again_after_the_last_failed_or_degraded_answer():
    degraded = load(degraded=(DUE > 2) & (DUE < 5.1))
    assert seconds_until_whole(degraded, since=3.5, until=10) == 2.5
    assert seconds_until_whole(load(), since=3.5, until=10) == 0.0
    assert seconds_until_whole(load(kind=np.where(DUE > 2, OTHER, ANSWERED)), 3, 10) is None


def test_seconds_in_which_the_generator_was_late_are_named():
    late = outcomes(DUE, lag_ms=np.where((DUE >= 3) & (DUE < 4), 400, 0.5))
    assert late_seconds(by_second(late, 10)) == [3]


def test_refusals_are_expected_and_everything_else_is_not():
    found = unexpected(
        outcomes(
            [1, 2, 3, 4],
            kind=[REFUSED, OTHER, DEADLINE, ANSWERED],
            messages={0: "full", 1: "broken"},
        )
    )
    assert found == {"broken": 1, "no answer in time": 1}
