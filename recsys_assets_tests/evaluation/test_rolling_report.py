from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.evaluation.rolling import Predictions, Shop
from recsys_assets.evaluation.rolling_report import (
    MOST_DEPARTMENTS,
    as_markdown,
    measure,
    summarise,
)
from recsys_assets.slates import PADDING
from recsys_assets_tests.evaluation.tiny import TODAY, moment, random_split
from recsys_assets_tests.evaluation.tiny_weeks import NO_PLAN, table

SPLIT = random_split(0)


def shop(split, departments=lambda item: item % 3, price=1.0):
    """What the customers of a split bought on its first day."""
    asked = split.requests
    rows = [
        (asked.user_id[request], split.item_ids[item], moment(0))
        for request, item in zip(*asked.relevant.nonzero(), strict=True)
    ]
    lines = table(rows)
    prices = pa.array(np.full(len(rows), price), from_pandas=True)
    lines = lines.set_column(lines.column_names.index("price"), "price", prices)
    names = [f"d{departments(item):02}" for item in range(len(split.item_ids))]
    items = pa.table({"item_id": pa.array(split.item_ids, pa.string()), "category_l1": names})
    return Shop.from_tables(lines, items, ["category_l1"], NO_PLAN)


def slates(split, first_right):
    """The first relevant item of each request on the first place, or nothing."""
    relevant = split.requests.relevant
    shown = np.full((len(split.requests), 300), PADDING, dtype=np.int32)
    if first_right:
        shown[:, 0] = relevant.indices[relevant.indptr[:-1]]
    return shown


def predictions(split):
    """One candidate for each request; every second is bought, as is foretold."""
    n = len(split.requests)
    return Predictions(np.arange(n), np.full(n, 0.5, np.float32), np.arange(n) % 2 == 0)


def weeks(count=2, of_shop=None):
    good, none = slates(SPLIT, True), slates(SPLIT, False)
    methods = {"pipeline": good, "worse": none, "same": good}
    of_shop = of_shop or shop(SPLIT)
    week = measure(of_shop, TODAY, SPLIT, methods, predictions(SPLIT))
    return [replace(week, first_day=f"week {number}") for number in range(count)]


def test_methods_are_measured_and_held_against_the_best_peer():
    figures = summarise(weeks(), "pipeline")

    assert figures["weeks"] == ["week 0", "week 1"]
    assert figures["requests"] == 2 * figures["customers"]
    assert figures["best_peer"] == "same"
    assert figures["methods"]["worse"]["ndcg_at_10"] == {"mean": 0, "low": 0, "high": 0}
    against = figures["against_best_peer"]["ndcg_at_10"]
    assert against["ratio"] == pytest.approx(1)
    assert against["difference"] == {"mean": 0, "low": 0, "high": 0}


def test_a_customers_weeks_are_one_draw():
    """Twice the same weeks are no more evidence: the intervals stay as wide."""
    one, four = (summarise(weeks(count), "pipeline") for count in (1, 4))

    for name in ("recall_at_10", "novelty_at_10", "coverage_at_10", "gini_at_10"):
        widths = [
            figures["methods"]["pipeline"][name]["high"]
            - figures["methods"]["pipeline"][name]["low"]
            for figures in (one, four)
        ]
        assert 0 < widths[0] == pytest.approx(widths[1]), name


def test_where_all_pay_the_same_for_all_the_worth_found_is_the_items_found():
    methods = summarise(weeks(), "pipeline")["methods"]

    assert methods["pipeline"]["value_recall_at_10"] == methods["pipeline"]["recall_at_10"]


def test_without_prices_nothing_is_said_of_worth():
    figures = summarise(weeks(of_shop=shop(SPLIT, price=None)), "pipeline")

    assert all("value_recall_at_10" not in values for values in figures["methods"].values())
    assert "value_recall_at_10" not in figures["against_best_peer"]
    assert "recall@10 by value" not in as_markdown(figures, "pipeline")


def test_segments_have_their_own_figures_and_best_peer():
    figures = summarise(weeks(), "pipeline")

    unseen = figures["segments"]["unseen_users"]
    assert unseen["requests"] == 4  # two customers without history, two weeks
    assert unseen["best_peer"] == "same"


def test_departments_are_those_with_most_requests_the_largest_first():
    """Each of the twenty items is a department of its own."""
    figures = summarise(weeks(of_shop=shop(SPLIT, departments=lambda item: item)), "pipeline")

    buyers = np.asarray((SPLIT.requests.relevant > 0).sum(axis=0)).ravel()
    requests = [one["requests"] for one in figures["departments"].values()]
    assert requests == sorted(2 * buyers, reverse=True)[:MOST_DEPARTMENTS]
    for name, one in figures["departments"].items():
        assert one["requests"] == 2 * buyers[int(name[1:])]


def test_a_department_that_one_week_lacks_has_the_figures_of_the_other():
    with_it, without = weeks()
    name = next(iter(without.departments))
    without = replace(
        without, departments={key: one for key, one in without.departments.items() if key != name}
    )

    both, one = (summarise(of, "pipeline") for of in ([with_it, without], [with_it]))

    assert both["departments"][name] == one["departments"][name]


def test_a_catalogue_without_departments_has_no_table_of_them():
    items = pa.table({"item_id": pa.array(SPLIT.item_ids, pa.string())})
    bare = Shop.from_tables(shop(SPLIT).interactions, items, [], NO_PLAN)

    figures = summarise(weeks(of_shop=bare), "pipeline")

    assert figures["departments"] == {}
    assert "diversity_at_10" not in figures["methods"]["pipeline"]
    page = as_markdown(figures, "pipeline")
    assert "| department" not in page
    assert "diversity" not in page


def test_the_page_shows_every_method_and_the_difference_to_the_best():
    page = as_markdown(summarise(weeks(), "pipeline"), "pipeline")

    for line in (
        "| worse | 0.0000 (0.0000 to 0.0000)",
        "| NDCG@10 | same | 1.00 | +0.0000",
        "| method | NDCG@10 | recall@10 | recall@10 by value | recall@100 |",
        "| method | coverage@10 | Gini@10 | novelty@10 |",
        "| d00 |",
        "Of 34 candidates 0.5294 were bought and 0.5000 predicted; expected calibration error",
    ):
        assert line in page


def test_where_no_other_method_finds_anything_there_is_no_ratio():
    methods = {"pipeline": slates(SPLIT, True), "none": slates(SPLIT, False)}
    week = measure(shop(SPLIT), TODAY, SPLIT, methods, predictions(SPLIT))

    figures = summarise([week], "pipeline")

    assert figures["against_best_peer"]["ndcg_at_10"]["ratio"] is None
    assert "| NDCG@10 | none |  | +" in as_markdown(figures, "pipeline")
