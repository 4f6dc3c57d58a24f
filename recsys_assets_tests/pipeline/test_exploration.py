import numpy as np
import pytest

from recsys_assets.pipeline.exploration import Exploration, draw


@pytest.mark.parametrize(
    ("share", "k", "places"),
    [(0.0, 10, 0), (0.1, 10, 1), (0.1, 9, 0), (0.29, 100, 29), (1.0, 7, 7)],
)
def test_a_share_of_the_places_is_left_to_chance(share, k, places):
    assert Exploration(share).places(k) == places


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=f"exploration share is {share}: give 0"):
        Exploration(share)


def test_a_seed_below_zero_is_refused():
    with pytest.raises(ValueError, match="exploration seed is -1"):
        Exploration(seed=-1)


def test_the_same_request_draws_the_same_and_another_does_not():
    exploration, weights = Exploration(0.5, seed=3), np.zeros(50)
    first, again, other = (
        draw(weights, 5, exploration.generator(request))[0].tolist() for request in (1, 1, 2)
    )

    assert first == again != other


def test_each_is_drawn_as_often_as_its_propensity_says():
    weights, generator = np.log([1.0, 2.0, 5.0]), np.random.default_rng(0)
    draws = [draw(weights, 2, generator) for _ in range(4000)]

    first = np.bincount([positions[0] for positions, _ in draws], minlength=3) / len(draws)
    assert first == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.03)
    for positions, propensities in draws[:20]:
        one, two = np.exp(weights)[positions]
        assert propensities == pytest.approx([one / 8, two / (8 - one)])


def test_a_weight_far_above_the_others_leaves_them_their_chance_after_it():
    positions, propensities = draw(np.array([0.0, 500.0]), 2, np.random.default_rng(0))

    assert positions.tolist() == [1, 0]
    assert propensities.tolist() == [1.0, 1.0]


def test_nothing_is_drawn_of_nothing():
    positions, propensities = draw(np.empty(0), 0, np.random.default_rng(0))

    assert len(positions) == len(propensities) == 0
