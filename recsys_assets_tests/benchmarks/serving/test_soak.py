import os

import numpy as np
import pytest

from benchmarks.serving.layouts import Running
from benchmarks.serving.load import Load
from benchmarks.serving.outcomes import ANSWERED
from benchmarks.serving.requests import Population
from benchmarks.serving.soak import Memory, Soak, slope
from recsys_assets_tests.benchmarks.serving.fake_server import response, serve


def test_the_slope_is_in_megabytes_a_minute():
    minutes = np.arange(0, 10, 0.5)
    noise = np.random.default_rng(1).normal(size=len(minutes)) * 0.1
    assert slope(minutes, 100 + 3 * minutes + noise) == pytest.approx(3, abs=0.1)
    assert slope(minutes, 100 + noise) == pytest.approx(0, abs=0.05)
    assert np.isnan(slope([1.0], [5.0]))


def test_what_is_filled_once_at_the_beginning_is_no_growth():
    memory = Memory([0, 1, 2, 3, 4], {"stub": [10.0, 90.0, 90.0, 90.0, 90.0]})
    growth = memory.growth()["stub"]
    assert growth["mb_per_minute"] == pytest.approx(0)
    assert (growth["first_mb"], growth["last_mb"], growth["most_mb"]) == (10, 90, 90)


def test_a_process_that_comes_or_goes_keeps_its_place_in_the_samples():
    memory = Memory()
    memory.sample(0.0, {"me": os.getpid()})
    memory.sample(1.0, {"me": os.getpid(), "later": os.getpid()})
    memory.sample(2.0, {"later": os.getpid()})
    assert [np.isnan(value) for value in memory.megabytes["me"]] == [False, False, True]
    assert [np.isnan(value) for value in memory.megabytes["later"]] == [True, False, False]


def test_segments_follow_one_another_without_a_pause():
    with serve(lambda *_: response()) as server:
        running = Running(server.grpc, "recommend", {"me": os.getpid()})
        load = Load(running, Population(["ann"], 86_400))
        soak = Soak(load, rate=20, segment_seconds=1.5, sample_seconds=0.5)
        segments = list(soak.run(2))
    first, second = segments
    assert second.began_at - first.began_at == pytest.approx(1.5, abs=0.05)
    assert set(first.kind) | set(second.kind) == {ANSWERED}
    assert len(soak.memory.minutes) >= 4
