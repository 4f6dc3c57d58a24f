import pytest

from recsys_assets_tests.living_shop.recorded import PLAN, START, day, recording, sale
from tools.living_shop.catalogue import Catalogue
from tools.living_shop.plan import Plan

MANY = [f"item-{number}" for number in range(50)]


def listed(catalogue, at):
    return set(catalogue.of(at)["item_id"])


def test_an_item_is_announced_the_day_before_its_first_sale():
    catalogue = Catalogue(recording(sale(day(2), "new"), sale(day(3), "new")), PLAN)

    assert listed(catalogue, START) == set()
    assert listed(catalogue, day(1)) == {"new"}


def test_an_item_leaves_56_days_after_its_last_sale():
    catalogue = Catalogue(recording(sale(START, "old"), sale(day(2), "old")), PLAN)

    assert listed(catalogue, day(58)) == {"old"}
    assert listed(catalogue, day(59)) == set()


@pytest.mark.parametrize(("at", "price"), [(1, 2.0), (2, 2.0), (3, 2.0), (4, 3.0)])
def test_the_list_price_is_what_was_charged_last(at, price):
    sales = [sale(day(2), price=2.0), sale(day(4), price=3.0)]

    (listed_price,) = Catalogue(recording(*sales), PLAN).of(day(at))["price"]

    assert listed_price == price


def test_some_texts_change_on_a_day_of_the_plan_and_stay_so():
    plan = Plan(START, days=4, history=10)
    catalogue = Catalogue(recording(*(sale(START, item) for item in MANY)), plan)
    revised = [catalogue.of(at)["text"].str.contains("new recipe").sum() for at in plan.lived]

    assert catalogue.of(plan.release_evening)["text"].str.contains("new recipe").sum() == 0
    assert revised == sorted(revised)
    assert 0 < revised[-1] < len(MANY) / 2


def test_all_that_was_ever_listed_is_as_it_was_listed_last():
    sales = [sale(day(-57), "gone"), sale(START, price=2.0), sale(day(1), price=3.0)]
    catalogue = Catalogue(recording(*sales), PLAN)

    found = catalogue.through([day(-1), day(0), day(1)])

    assert found["item_id"].to_list() == ["gone", "tea"]
    assert found["price"].to_list()[1] == 3.0
    assert listed(catalogue, day(1)) == {"tea"}


def test_what_a_long_history_names_leaves_day_by_day_after_the_first_release():
    plan = Plan(START, days=4, history=100)
    sales = [sale(day(-90), item) for item in MANY]
    catalogue = Catalogue(recording(sale(day(-101), "never"), *sales), plan)
    sizes = [len(listed(catalogue, at)) for at in (plan.release_evening, *plan.lived)]

    assert listed(catalogue, plan.release_evening) == set(MANY)
    assert sizes == sorted(set(sizes), reverse=True)
    assert sizes[-1] == 0
