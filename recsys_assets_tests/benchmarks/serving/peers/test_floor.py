"""The pipeline in one process, at the pace of a schedule."""

import time

import numpy as np

from benchmarks.serving.peers.floor import run
from benchmarks.serving.requests import Request
from recsys_assets.pipeline.circuit import StoreUnavailable


class Floor:
    """Takes a millisecond; the user "down" finds no online store."""

    def answer(self, request):
        time.sleep(0.001)
        if request.user_id == "down":
            raise StoreUnavailable("down")
        return ["item"]


def schedule(*arrivals):
    return [(at, Request(user, "web", 1_506_816_000, 10)) for at, user in arrivals]


def test_latency_counts_from_the_scheduled_moment_so_a_queue_shows():
    together = run(Floor(), schedule(*((0.0, "ann") for _ in range(5))))
    assert (np.diff(together) > 0).all()


def test_a_degraded_answer_has_no_latency():
    latencies = run(Floor(), schedule((0.0, "ann"), (0.0, "down"), (0.0, "bob")))
    assert np.isnan(latencies).tolist() == [False, True, False]
