from collections import Counter

import numpy as np
import pytest

from benchmarks.serving.requests import Population

MOMENT = 1_506_816_000
USERS = [f"user {n}" for n in range(1000)]


def test_users_come_by_a_power_law():
    population = Population(USERS, MOMENT, exponent=1.0, anonymous=0.0)
    counts = Counter(request.user_id for request in population.draw(200_000, seed=1))
    most = np.array([count for _, count in counts.most_common(100)])
    slope = np.polyfit(np.log(np.arange(1, 101)), np.log(most), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.03)


def test_an_exponent_of_0_is_an_even_draw():
    population = Population(USERS[:10], MOMENT, exponent=0.0, anonymous=0.0)
    counts = Counter(request.user_id for request in population.draw(50_000, seed=1))
    assert list(counts.values()) == pytest.approx([5000] * 10, rel=0.06)


def test_who_comes_often_is_the_same_whatever_the_seed():
    population = Population(USERS, MOMENT, anonymous=0.0)
    first, second = (
        Counter(request.user_id for request in population.draw(5000, seed)).most_common(1)[0][0]
        for seed in (1, 2)
    )
    assert first == second


def test_a_share_of_the_visitors_is_anonymous():
    drawn = Population(USERS, MOMENT, anonymous=0.3).draw(20_000, seed=1)
    assert sum(not request.user_id for request in drawn) / 20_000 == pytest.approx(0.3, abs=0.02)


def test_requests_are_of_one_day_and_drawn_with_a_seed():
    population = Population(USERS, MOMENT, k=20)
    drawn = population.draw(100, seed=1)
    assert drawn == population.draw(100, seed=1) != population.draw(100, seed=2)
    assert all(MOMENT <= request.timestamp < MOMENT + 86_400 for request in drawn)
    assert {request.k for request in drawn} == {20}
    assert {request.device for request in drawn} == set(population.devices)


def test_a_shop_without_users_has_anonymous_visitors_only():
    assert {request.user_id for request in Population([], MOMENT, anonymous=1).draw(9, 1)} == {""}
    with pytest.raises(ValueError, match="set anonymous to 1"):
        Population([], MOMENT).draw(9, 1)
