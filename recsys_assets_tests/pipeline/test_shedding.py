from collections import Counter
from itertools import pairwise

import numpy as np

from recsys_assets.pipeline.pipeline import Effort
from recsys_assets.pipeline.shedding import Shedder

FULL, FEWER, POPULAR = Effort


def shedder():
    """Ten full requests fit into a batch, 25 with fewer candidates, 500 popular slates."""
    return Shedder(0.010, first=[(1, 0.001), (8, 0.008)])


def counts(shedder, requests):
    return Counter(Effort(effort) for effort in shedder.efforts(requests).tolist())


def observe(shedder, effort, seconds_each, times=1000):
    for number in range(times):
        requests = 1 + number % 8
        shedder.observe(np.full(requests, effort), requests * seconds_each)


def test_what_fits_is_answered_in_full():
    assert counts(shedder(), 9) == {FULL: 9}


def test_fewer_candidates_come_first():
    efforts = counts(shedder(), 20)
    assert set(efforts) == {FULL, FEWER}
    assert efforts[FULL] * 1.0 + efforts[FEWER] * 0.47 <= 10


def test_popular_slates_come_when_fewer_candidates_are_not_enough():
    efforts = counts(shedder(), 32)
    assert set(efforts) == {FEWER, POPULAR}
    assert efforts[FEWER] * 0.47 + efforts[POPULAR] * 0.01 <= 10


def test_nobody_in_full_gets_less_the_more_there_are():
    done = [counts(shedder(), requests)[FULL] for requests in range(1, 33)]
    assert done[:9] == list(range(1, 10))
    assert all(later <= before for before, later in pairwise(done[9:]))


def test_no_more_is_shed_than_needed():
    efforts = counts(shedder(), 20)
    assert (efforts[FULL] + 1) * 1.0 + (efforts[FEWER] - 1) * 0.47 > 10


def test_the_first_get_the_most():
    for requests in (20, 32):
        efforts = shedder().efforts(requests).tolist()
        assert efforts == sorted(efforts)


def test_everything_is_in_full_again_once_the_queue_is_short():
    busy = shedder()
    assert counts(busy, 32)[POPULAR]
    assert counts(busy, 9) == {FULL: 9}


def test_a_request_alone_is_always_answered_in_full():
    slow = Shedder(0.010, first=[(1, 5.0), (8, 40.0)])
    assert counts(slow, 1) == {FULL: 1}
    assert counts(slow, 2) == {POPULAR: 2}


def test_costs_are_learned():
    learning = shedder()
    observe(learning, FULL, 0.0001)
    assert counts(learning, 32) == {FULL: 32}
    observe(learning, FULL, 0.010)
    assert counts(learning, 20)[FULL] == 0


def test_a_machine_that_is_slow_for_once_is_forgiven():
    learning = shedder()
    observe(learning, FULL, 0.001)
    learning.observe(np.full(4, FULL), 10.0)
    assert counts(learning, 9) == {FULL: 9}


def test_what_a_batch_costs_for_itself_is_not_charged_to_its_requests():
    learning = shedder()
    for number in range(1000):
        requests = 1 + number % 8
        learning.observe(np.full(requests, FULL), 0.004 + requests * 0.0005)
    assert counts(learning, 11) == {FULL: 11}
    assert counts(learning, 14)[FEWER]


def test_batches_of_one_size_alone_do_not_mislead():
    learning = shedder()
    for _ in range(1000):
        learning.observe(np.full(1, FULL), 0.001)
    assert counts(learning, 9) == {FULL: 9}


def test_mixed_batches_teach_too():
    learning = Shedder(0.010, first=[(1, 0.0001), (8, 0.0008)])
    for _ in range(1000):
        efforts = learning.efforts(20)
        full, fewer = (efforts == FULL).sum(), (efforts == FEWER).sum()
        learning.observe(efforts, full * 0.002 + fewer * 0.0008)
    assert counts(learning, 20)[FULL] <= 1
