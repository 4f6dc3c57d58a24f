import numpy as np
import pytest

from recsys_assets.models.item_history import Changes, ItemHistory
from recsys_assets.models.negatives import NegativeDistribution, NegativeSampler

DAY = 86_400


def test_probabilities_add_up_and_follow_popularity():
    distribution = NegativeDistribution(exponent=0.75, uniform_share=0.1)

    probability = np.exp(distribution.log_probability(np.array([16.0, 1.0, 0.0, np.nan])))

    assert probability.sum() == pytest.approx(1)
    assert probability[0] / probability[1] > 5
    assert probability[2] == probability[3] == pytest.approx(0.025)


def test_without_any_sale_every_item_is_as_likely():
    probability = np.exp(NegativeDistribution(0.75, 0.1).log_probability(np.full(4, np.nan)))

    assert probability == pytest.approx(np.full(4, 0.25))


@pytest.fixture
def sampler():
    items = 5
    history = ItemHistory(
        np.array(list("abcde"), dtype=object),
        {},
        Changes(
            np.arange(items, dtype=np.int64) << 34,
            {"popularity_28d": np.array([9.0, 4.0, 1.0, 1.0, 0.0])},
        ),
        Changes(np.empty(0, np.int64), {}),
    )
    bought = np.array([0 * items + 0, 0 * items + 1, 1 * items + 0])
    return NegativeSampler(
        history, NegativeDistribution(0.75, 0.2), bought, np.array([DAY, 30 * DAY, DAY])
    )


def test_what_the_user_has_or_soon_buys_is_no_negative(sampler):
    random = np.random.default_rng(0)
    drawn, usable = sampler.draw(np.zeros(400, int), np.full(400, 10 * DAY), 4, random)

    assert not usable[drawn == 0].any()
    assert usable[drawn == 1].all()
    assert usable[drawn > 1].all()


def test_draws_follow_the_distribution(sampler):
    random = np.random.default_rng(0)

    drawn, _ = sampler.draw(np.zeros(5000, int), np.full(5000, 10 * DAY), 4, random)

    shares = np.bincount(drawn.ravel(), minlength=5) / drawn.size
    popularity = sampler.history.activity.columns["popularity_28d"]
    expected = np.exp(sampler.distribution.log_probability(popularity))
    assert shares == pytest.approx(expected, abs=0.01)
