import numpy as np
import pytest
import redis

from benchmarks.logging import _interval, measure, remove_own
from recsys_assets.pipeline.request_log import STREAM
from recsys_assets.rollout.promotion import promote
from recsys_assets.services import deployment
from recsys_assets_tests.serving.logged_answers import an_answer
from recsys_assets_tests.serving.tiny_release import AT, publish_tiny_release


def test_the_interval_holds_the_difference_of_the_medians():
    rng = np.random.default_rng(1)
    unlogged = rng.gamma(2.0, size=(100, 20))
    low, high = _interval(rng.gamma(2.0, size=(100, 20)) + 0.5, unlogged)
    assert 0.3 < low < 0.5 < high < 0.7


@pytest.mark.integration
def test_half_of_the_requests_are_logged_and_taken_out_again(running):
    releases = deployment.releases(running)
    promote(releases, deployment.embedded_server(running), publish_tiny_release(releases))
    store = redis.Redis.from_url(running.online_store_url)
    traffic = store.xadd(STREAM, an_answer("before").encode())
    cost = measure(running.triton_grpc, ["ann", "bob"], AT, pairs=2, requests=5)
    assert (cost.pairs, cost.requests_per_block) == (2, 5)
    assert 0 < cost.unlogged_p50_ms <= cost.unlogged_p99_ms
    later = store.xadd(STREAM, an_answer("later").encode())
    assert remove_own(store, traffic) == 100 + 2 * 5
    assert [entry for entry, _ in store.xrange(STREAM)] == [traffic, later]
