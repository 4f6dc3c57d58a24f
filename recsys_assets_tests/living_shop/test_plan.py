from datetime import date

import pytest

from recsys_assets_tests.living_shop.recorded import PLAN, START, day
from tools.living_shop.plan import ImpossiblePlan, Plan


def test_the_first_release_is_begun_on_the_evening_before_the_first_day():
    assert PLAN.release_evening == day(-1)
    assert PLAN.history_from == day(-10)
    assert PLAN.lived == (START, day(1), day(2), day(3))


@pytest.mark.parametrize("days", [3, 4, 31])
def test_every_plan_has_a_closed_weekday_an_empty_day_and_a_correction(days):
    plan = Plan(START, days, history=56)

    assert not plan.is_open(plan.release_evening)
    assert plan.is_open(plan.empty_day)
    assert plan.corrected_day < plan.empty_day
    assert plan.corrected_day < plan.correction_day
    assert {plan.empty_day, plan.corrected_day, plan.correction_day} <= set(plan.lived)


def test_a_month_of_autumn_has_daylight_saving_end_in_it():
    plan = Plan(date(2017, 10, 16), 31, history=56)

    assert plan.lived[0] < date(2017, 11, 5) < plan.lived[-1]


def test_a_life_that_ends_before_the_plan_is_the_beginning_of_the_same():
    whole, part = Plan(START, 31, history=56), Plan(START, 31, history=56, through=day(9))

    assert part.lived == whole.lived[:10]
    assert (part.empty_day, part.correction_day) == (whole.empty_day, whole.correction_day)


@pytest.mark.parametrize("through", [day(-1), day(31)])
def test_a_life_through_a_day_of_no_plan_is_refused(through):
    with pytest.raises(ImpossiblePlan, match=f"{through} is none of the days"):
        Plan(START, 31, history=56, through=through)


@pytest.mark.parametrize("days", [2, 12])
def test_days_that_cannot_hold_all_of_it_are_refused(days):
    with pytest.raises(ImpossiblePlan, match="live "):
        Plan(START, days, history=56)
