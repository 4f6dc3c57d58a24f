import numpy as np
import pytest

from recsys_assets.models.examples import DAY_SECONDS, Examples
from recsys_assets.models.hyperparameters import QueryTowerTuning
from recsys_assets.models.item_history import midnight_after
from recsys_assets.retraining.base import draw_replay_sample, recent_from

DAYS, PER_DAY = 60, 50
START = midnight_after("2024-12-31")
SINCE = START + (DAYS - 10) * DAY_SECONDS


@pytest.fixture
def examples():
    days = np.repeat(np.arange(DAYS), PER_DAY)
    return Examples(
        user={"user_id": np.array([f"user-{n % 7}" for n in range(len(days))], dtype=object)},
        item=np.arange(len(days)),
        timestamp=START + days * DAY_SECONDS + 3600,
        validation=np.zeros(len(days), dtype=bool),
    )


def span_of(examples, since=SINCE, seed=0, **tuning):
    mix = QueryTowerTuning(**{"recent_examples": 200, "replay_examples": 300, **tuning})
    random = np.random.default_rng(seed)
    return draw_replay_sample(examples, np.ones(len(examples)), since, mix, random)


def test_recent_are_all_days_that_the_base_has_not_seen():
    assert recent_from("2025-01-10", "2025-02-20", 14) == midnight_after("2025-01-10")


def test_recent_are_at_least_so_many_days():
    assert recent_from("2025-02-19", "2025-02-20", 14) == midnight_after("2025-02-06")


def test_a_pass_mixes_recent_examples_with_older_ones(examples):
    span = span_of(examples)
    drawn = span.examples.take(span.passes[0])

    assert (span.recent, span.replayed) == (200, 300)
    assert (drawn.timestamp >= SINCE).sum() == 200
    # Shuffled: both kinds are in either half.
    assert 50 < (drawn.timestamp[:250] >= SINCE).sum() < 150


def test_every_pass_draws_anew(examples):
    span = span_of(examples, passes=2)

    first, second = (span.examples.item[rows] for rows in span.passes)
    assert len(first) == len(second) == 500
    assert set(first) != set(second)


def test_an_example_is_held_once_and_in_the_order_of_time(examples):
    span = span_of(examples, passes=3)

    assert len(np.unique(span.examples.item)) == len(span.examples)
    assert (np.diff(span.examples.timestamp) >= 0).all()


def test_the_expected_share_of_each_example_is_that_of_its_side(examples):
    share = span_of(examples).share

    assert share.sum() == pytest.approx(1)
    assert share[examples.timestamp >= SINCE].sum() == pytest.approx(200 / 500)


def test_fewer_examples_than_asked_for_are_all_there_is_to_draw_from(examples):
    span = span_of(examples, recent_examples=10_000)

    assert span.recent == 10 * PER_DAY


@pytest.mark.parametrize(("since", "replay"), [(START, 300), (SINCE, 0)])
def test_without_older_examples_only_recent_ones_are_drawn(examples, since, replay):
    span = span_of(examples, since, replay_examples=replay)

    assert (span.recent, span.replayed) == (200, 0)
    assert span.share.sum() == pytest.approx(1)


def test_without_recent_examples_there_is_nothing_to_learn(examples):
    with pytest.raises(ValueError, match="nothing to learn from"):
        span_of(examples, since=START + DAYS * DAY_SECONDS)


def test_the_same_seed_draws_the_same(examples):
    one, same, other = (span_of(examples, seed=seed) for seed in (3, 3, 4))

    assert (one.passes[0] == same.passes[0]).all()
    assert not np.array_equal(one.examples.item, other.examples.item)
