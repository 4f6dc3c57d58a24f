import numpy as np
import pytest

from benchmarks.serving.arrivals import phases, poisson


def test_arrivals_are_ascending_and_within_the_time():
    due = poisson(rate=50, seconds=10, seed=1)
    assert (np.diff(due) >= 0).all()
    assert due[0] >= 0
    assert due[-1] < 10


def test_the_rate_is_kept_on_average():
    assert len(poisson(rate=100, seconds=1000, seed=1)) / 1000 == pytest.approx(100, rel=0.02)


def test_gaps_are_exponential():
    gaps = np.diff(poisson(rate=100, seconds=1000, seed=1))
    assert gaps.mean() == pytest.approx(0.01, rel=0.02)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.02)
    assert np.median(gaps) == pytest.approx(0.01 * np.log(2), rel=0.03)


def test_the_seed_decides():
    assert (poisson(100, 5, seed=3) == poisson(100, 5, seed=3)).all()
    assert not np.array_equal(poisson(100, 5, seed=3), poisson(100, 5, seed=4))


def test_phases_follow_one_another():
    due = phases([(10, 100), (1000, 10), (10, 100)], seed=1)
    counts, _ = np.histogram(due, [0, 100, 110, 210])
    assert counts == pytest.approx([1000, 10_000, 1000], rel=0.1)
    assert (np.diff(due) >= 0).all()
