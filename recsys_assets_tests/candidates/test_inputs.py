import numpy as np
import pytest

from recsys_assets.candidates.declarations import CandidateSource
from recsys_assets.candidates.inputs import RankerInputs, attribute_groups, item_inputs
from recsys_assets.candidates.source_scores import SourceScores
from recsys_assets.candidates.union import UnitedCandidates, unite
from recsys_assets_tests.candidates.tiny import ITEMS, row, sources

AL, STRANGER = 0, -1
LINES = (
    ("al", "milk", 2, "s1", 1.0, 0.0),
    ("al", "milk", 40, "s1", 1.0, 0.0),
    ("al", "oat milk", 42, "s1", 4.0, 2.0),
    ("bo", "soy milk", 44, "s1", 4.0, 0.0),
    ("bo", "pear", 1, "s2", 9.0, 0.0),
)
COUNT_DOWN = CandidateSource(
    "count_down",
    6,
    lambda _, users: SourceScores(
        np.arange(6), np.tile(-np.arange(6, dtype=np.float32), (len(users), 1))
    ),
    ranked=True,
    description="",
)


def inputs_of(user, lines=LINES, day=45):
    """Each input of every item of the catalogue, for one request."""
    known = sources(day, *lines)
    users = np.array([user], dtype=np.int32)
    candidates = unite(known, [COUNT_DOWN], users, lambda *_: [np.zeros(0, int)])
    planned = {"display": np.zeros(6), "mailer": np.linspace(0, 1, 6)}
    return RankerInputs(known, [COUNT_DOWN]).of(candidates, users, planned)


def test_a_source_tells_its_rank_and_a_score_that_is_comparable_between_requests():
    inputs = inputs_of(AL)

    assert inputs["count_down_rank"].tolist() == [0, 1, 2, 3, 4, 5]
    assert inputs["count_down_score"].mean() == pytest.approx(0, abs=1e-6)
    assert inputs["count_down_score"].std() == pytest.approx(1, abs=1e-5)


def test_a_source_without_a_score_for_a_candidate_ranks_it_last():
    scores = np.array([[3.0], [-np.inf], [5.0]], dtype=np.float32)
    candidates = UnitedCandidates(np.array([0, 3]), np.arange(3), np.ones(3, np.uint32), scores)
    known = sources(45, *LINES)

    planned = {}
    inputs = RankerInputs(known, [COUNT_DOWN]).of(candidates, np.array([AL]), planned)

    assert inputs["count_down_rank"].tolist() == [1, 2, 0]
    assert np.isfinite(inputs["count_down_score"]).all()


def test_the_inputs_of_a_request_do_not_depend_on_who_else_asks():
    """A candidate without a score is put beside the least of its own request."""
    known, planned = sources(45, *LINES), {}
    hers, his = [[3.0], [-np.inf], [5.0]], [[-900.0], [-np.inf], [-950.0]]
    alone = UnitedCandidates(
        np.array([0, 3]), np.arange(3), np.ones(3, np.uint32), np.array(hers, np.float32)
    )
    together = UnitedCandidates(
        np.array([0, 3, 6]),
        np.tile(np.arange(3), 2),
        np.ones(6, np.uint32),
        np.array(hers + his, np.float32),
    )
    of = RankerInputs(known, [COUNT_DOWN]).of

    one, both = of(alone, np.array([AL]), planned), of(together, np.array([AL, 1]), planned)

    for name, values in one.items():
        np.testing.assert_array_equal(values, both[name][:3], err_msg=name)


def test_sales_are_of_windows_and_trends_of_two_windows():
    inputs = {
        name: values[row("milk")] for name, values in item_inputs(sources(45, *LINES)).items()
    }

    assert inputs["sales_7d"] == pytest.approx(np.log1p(1))
    assert inputs["sales_trend_7d"] == pytest.approx(1 / 5)
    assert inputs["first_sales_28d"] == 0  # al's first milk was on day 2
    assert inputs["lines_per_buyer"] == 2
    assert inputs["days_since_sold"] == 5
    assert inputs["days_on_sale"] == 43


def test_her_own_counts_are_by_every_way_in_which_items_are_alike():
    inputs = inputs_of(AL)

    assert inputs["category_l3_share"][row("soy milk")] == 1  # all of her lines are milk
    assert inputs["kind_maker_share"][row("soy milk")] == pytest.approx(1 / 3)
    assert inputs["kind_maker_days_since"][row("soy milk")] == 3
    assert np.isnan(inputs["kind_maker_days_since"][row("apple")])
    assert inputs["category_l3_variety"][row("milk")] == pytest.approx(2 / 3)


def test_prices_are_held_against_what_she_pays():
    inputs = inputs_of(AL)

    hers = (2 * np.log(1) + np.log(4)) / 3
    assert inputs["price_against_user_mean"][row("soy milk")] == pytest.approx(np.log(4) - hers)
    assert inputs["user_mean_discount"][0] == pytest.approx(0.5 / 3)


def test_her_store_is_asked_and_promotions_are_of_the_moment():
    inputs = inputs_of(AL)

    assert inputs["store_sales_28d"][row("soy milk")] == 1
    assert inputs["mailer"][row("never sold")] == 1


def test_a_stranger_has_no_number_of_her_own_and_no_count():
    inputs = inputs_of(STRANGER)

    assert np.isnan(inputs["user_lines_28d"]).all()
    assert np.isnan(inputs["store_sales_28d"]).all()
    assert np.isnan(inputs["category_l3_share"]).all()
    assert (inputs["category_l3_28d"] == 0).all()


def test_a_shop_on_its_first_day_has_inputs_of_the_same_names():
    first = inputs_of(STRANGER, lines=(), day=0)

    assert list(first) == list(inputs_of(AL))
    assert all(values.shape == (6,) for values in first.values())
    assert not any(np.isinf(values).any() for values in first.values())


def test_nothing_of_the_day_itself_or_later_is_known():
    later = (*LINES, ("al", "soy milk", 45, "s1", 1.0, 0.0), ("al", "pear", 60, "s1", 1.0, 0.0))

    before, after = inputs_of(AL), inputs_of(AL, lines=later)

    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name], err_msg=name)


def test_items_are_alike_by_attributes_and_pairs_of_kind_and_attribute():
    groups = attribute_groups(sources(45, *LINES))

    assert set(groups) == {
        "category_l1", "category_l3", "brand", "maker", "kind_brand", "kind_maker",
        "kind_brand_maker",
    }  # fmt: skip
    maker = groups["kind_maker"]
    assert maker[row("oat milk")] == maker[row("soy milk")] != maker[row("milk")]
    assert len(maker) == len(ITEMS)
