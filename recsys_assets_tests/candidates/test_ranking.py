"""The lists that a release carries are what the rolling evaluation has measured."""

from datetime import timedelta

import numpy as np
import pytest

from recsys_assets.candidates.boosted_ranker import BoostedRanker
from recsys_assets.candidates.ranking import DayCandidates
from recsys_assets.evaluation.rolling import ranked_slates
from recsys_assets_tests.evaluation import tiny_weeks
from recsys_assets_tests.evaluation.tiny_weeks import (
    FIRST,
    NO_PLAN,
    WEEK,
    few_buyers,  # noqa: F401
)

pytestmark = pytest.mark.usefixtures("few_buyers")


@pytest.fixture(scope="module")
def weeks():
    return tiny_weeks.rolling()


def ranker_of(weeks):
    return BoostedRanker.fit(weeks.examples_before(WEEK), weeks.boosting)


def of_day(weeks, day=WEEK):
    return DayCandidates(weeks.shop.log, NO_PLAN, day)


def test_lists_are_the_slates_that_the_rolling_evaluation_measures(weeks):
    ranker, week = ranker_of(weeks), weeks.week(WEEK)
    users = week.split.requests.user_id.tolist()
    slates = ranked_slates(week.candidates, ranker.score(week.examples.inputs))

    lists = of_day(weeks).lists(users, ranker, depth=300)

    assert len(lists) == len(users) > 10
    for user, slate in zip(users, slates, strict=True):
        assert lists.of(user).rows.tolist() == slate[slate >= 0].tolist()
        assert (np.diff(lists.of(user).scores) <= 0).all()


def test_a_list_is_no_longer_than_asked_and_the_same_whoever_else_asks(weeks):
    made, ranker = of_day(weeks), ranker_of(weeks)
    alone, together = (
        made.lists(users, ranker, depth)
        for users, depth in ((["u03"], 5), (["u01", "u03", "u02"], 300))
    )

    assert len(alone.of("u03").rows) == 5
    np.testing.assert_array_equal(alone.of("u03").rows, together.of("u03").rows[:5])


def test_a_customer_of_later_days_has_no_list_and_is_none_of_the_customers(weeks):
    first_day, ranker = of_day(weeks, FIRST), ranker_of(weeks)

    assert first_day.customers() == []
    assert len(first_day.lists(["u01", "stranger"], ranker, 10)) == 0
    assert len(of_day(weeks).lists(["stranger"], ranker, 10)) == 0


def test_customers_are_those_who_have_bought_by_then(weeks):
    assert of_day(weeks).customers() == [f"u{number:02}" for number in range(30)]


def test_nothing_that_was_bought_by_then_is_in_a_list(weeks):
    made = of_day(weeks, WEEK + timedelta(weeks=1))
    lists = made.lists(made.customers(), ranker_of(weeks), 300)
    log = weeks.shop.log
    known = log.day < (WEEK + timedelta(weeks=1)).toordinal() - FIRST.toordinal() + log.day.min()

    for row, user in enumerate(log.user_ids.tolist()):
        bought = set(log.item[known & (log.user == row)].tolist())
        assert not bought & set(lists.of(user).rows.tolist())


def test_a_ranker_of_another_catalogue_says_what_it_misses(weeks):
    ranker = ranker_of(weeks)
    inputs = dict.fromkeys(ranker.names[1:], np.zeros(3))

    with pytest.raises(ValueError, match=f"no longer has: {ranker.names[0]}; train boosted_ranker"):
        ranker.score_named(inputs)
