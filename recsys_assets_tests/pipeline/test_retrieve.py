from dataclasses import replace

import numpy as np
import pytest

from recsys_assets.candidates.ranked_lists import RankedLists
from recsys_assets.pipeline.available_items import AvailableItems
from recsys_assets.pipeline.requests import Requests
from recsys_assets.pipeline.retrieve import NO_ROW, Depth
from recsys_assets.pipeline.seen_settings import WhenDown
from recsys_assets_tests.serving.made_up_stages import DEPTH, asked, embedded, retrieve_stage


def found(stage, requests, depth=DEPTH, degraded=False):
    return stage.run(requests, embedded(requests, degraded), depth)


def rows(stage, *users, k=10, depth=DEPTH):
    return [row.tolist() for row in found(stage, asked(*users, k=k), depth).rows]


def test_bought_items_are_left_out():
    answer = found(retrieve_stage(bought=[0, 2]), asked("ann"))
    assert answer.rows[0].tolist() == [1, *range(3, 20)]
    assert not answer.degraded.any()
    assert (answer.checked, answer.excluded) == (20, 2)


def with_list(stage, user="ann", first=50, count=8):
    """The stage with candidates of one customer, worst row last."""
    rows = np.arange(first, first + count)
    scores = -np.arange(count, dtype=np.float32)
    return replace(stage, lists=RankedLists.of_users([user], np.array([0, count]), rows, scores))


def test_a_customer_with_candidates_ranked_ahead_gets_them_with_their_scores():
    stage = with_list(retrieve_stage(bought=[51]))

    answer = found(stage, asked("ann", "bob", k=5))

    assert answer.rows[0].tolist() == [50, *range(52, 58)]
    assert answer.ahead[0].tolist() == [0, *range(-2, -8, -1)]
    assert answer.rows[1].tolist() == list(range(20))
    assert answer.ahead[1] is None
    assert (answer.checked, answer.excluded) == (8 + 20, 1)


def test_nothing_is_searched_where_everybody_has_a_list():
    stage = with_list(retrieve_stage())
    found(stage, asked("ann", "ann", k=5))
    assert stage.index.depths == []
    assert stage.seen_items.round_trips == 1


def test_a_list_with_fewer_than_k_left_is_not_used():
    stage = with_list(retrieve_stage(bought=[50, 51, 52, 53]))

    answer = found(stage, asked("ann", k=5))

    assert answer.rows[0].tolist() == list(range(20))
    assert answer.ahead == [None]


def test_the_best_of_a_list_are_ranked_and_no_fewer_than_k():
    stage, depth = with_list(retrieve_stage()), Depth(candidates=20, enough=2, ranked=3)
    assert rows(stage, "ann", k=2, depth=depth) == [[50, 51, 52]]
    assert rows(stage, "ann", k=5, depth=depth) == [list(range(50, 55))]


@pytest.mark.parametrize(("when_down", "refused"), [("show", False), ("refuse", True)])
def test_a_list_is_shown_or_refused_while_filters_are_down(when_down, refused):
    stage = replace(with_list(retrieve_stage(down=True)), when_down=WhenDown(when_down))

    answer = found(stage, asked("ann", k=5))

    assert answer.rows[0].tolist() == list(range(50, 58))
    assert (answer.degraded[0], answer.refused[0]) == (not refused, refused)


def off_sale(stage, *rows):
    """The stage while items of those rows are not on sale."""
    items = AvailableItems([str(row) for row in range(stage.items)])
    items.replace(map(str, rows))
    return replace(stage, availability=items)


def test_what_is_off_sale_is_left_out_of_lists_and_of_the_search():
    stage = off_sale(with_list(retrieve_stage(bought=[51])), 0, 50)

    answer = found(stage, asked("ann", "", k=5))

    assert answer.rows[0].tolist() == list(range(52, 58))
    assert answer.ahead[0].tolist() == list(range(-2, -8, -1))
    assert answer.rows[1].tolist() == list(range(1, 20))
    # What filters hold is counted, whatever is on sale.
    assert (answer.checked, answer.excluded) == (8 + 20, 1)


def test_a_list_of_which_too_few_are_on_sale_is_not_used():
    stage = off_sale(with_list(retrieve_stage()), *range(50, 54))
    answer = found(stage, asked("ann", k=5))
    assert answer.rows[0].tolist() == list(range(20))
    assert answer.ahead == [None]


def test_the_search_goes_deeper_where_nearly_nothing_is_on_sale():
    stage = off_sale(retrieve_stage(), *range(85))
    assert rows(stage, "", "ann") == [list(range(85, 100))] * 2
    assert stage.index.depths == [20, 80, 100]


def test_what_is_off_sale_is_left_out_while_filters_are_down():
    stage = off_sale(with_list(retrieve_stage(down=True)), 0, 50)
    assert rows(stage, "ann", "bob", k=5) == [list(range(51, 58)), list(range(1, 20))]


def test_it_comes_back_with_the_next_request():
    stage = off_sale(retrieve_stage(), 0)
    assert rows(stage, "ann") == [list(range(1, 20))]
    stage.availability.change({"0": True})
    assert rows(stage, "ann") == [list(range(20))]


def test_lists_of_a_batch_differ_in_length():
    ann, nobody = rows(retrieve_stage(bought=[0, 2]), "ann", "")
    assert len(ann) == 18
    assert nobody == list(range(20))


def test_a_batch_is_searched_and_checked_at_once():
    stage = retrieve_stage()
    found(stage, asked("ann", "bob", ""))
    assert stage.index.depths == [20]
    assert stage.seen_items.round_trips == 1


def test_the_search_goes_deeper_for_a_user_who_has_bought_nearly_everything():
    stage = retrieve_stage(bought=range(85))
    assert rows(stage, "ann") == [list(range(85, 100))]
    assert stage.index.depths == [20, 80, 100]


def test_only_the_rows_that_need_it_are_searched_deeper():
    stage = retrieve_stage(bought=range(18))
    ann, nobody = rows(stage, "ann", "")
    assert ann == list(range(18, 38))
    assert nobody == list(range(20))


def test_enough_candidates_are_left_to_rank_even_if_k_is_small():
    depth = replace(DEPTH, enough=10)
    (ann,) = rows(retrieve_stage(bought=range(18)), "ann", k=1, depth=depth)
    assert len(ann) == 20


def test_the_best_are_ranked_and_no_fewer_than_k():
    stage, depth = retrieve_stage(), Depth(candidates=20, enough=2, ranked=5)
    assert rows(stage, "ann", k=3, depth=depth) == [list(range(5))]
    assert rows(stage, "ann", k=12, depth=depth) == [list(range(12))]
    assert rows(stage, "ann", k=60, depth=depth) == [list(range(60))]


def test_everybody_gets_his_own_k():
    requests = asked("ann", "bob")
    requests = Requests(
        requests.user_ids, requests.devices, requests.timestamps, np.array([3, 12]), ["", ""]
    )
    answer = found(retrieve_stage(), requests, Depth(candidates=20, enough=2, ranked=5))
    assert [len(row) for row in answer.rows] == [5, 12]


def test_the_budget_of_the_search_is_that_of_the_depth():
    stage = retrieve_stage()
    rows(stage, "ann", depth=replace(DEPTH, budget="high"))
    assert stage.index.budgets == ["high"]


def test_a_catalogue_smaller_than_the_candidates():
    assert rows(retrieve_stage(items=5), "ann") == [[0, 1, 2, 3, 4]]


def test_an_index_that_finds_fewer_than_asked_for():
    stage = replace(retrieve_stage(items=5), items=100)
    (ann,) = rows(stage, "ann")
    assert ann == [0, 1, 2, 3, 4]
    assert NO_ROW not in ann


def test_who_has_bought_everything_gets_nothing():
    assert rows(retrieve_stage(items=30, bought=range(30)), "ann") == [[]]


def test_an_outage_is_stated():
    answer = found(retrieve_stage(down=True), asked("ann", ""))
    assert answer.degraded.tolist() == [True, False]
    assert not answer.refused.any()
    assert [row.tolist() for row in answer.rows] == [list(range(20))] * 2


def test_degradation_of_the_stage_before_is_kept():
    assert found(retrieve_stage(), asked("ann"), degraded=True).degraded.all()


@pytest.mark.parametrize(("candidates", "enough", "ranked"), [(10, 0, 5), (10, 6, 5), (10, 5, 11)])
def test_a_depth_that_makes_no_sense_is_refused(candidates, enough, ranked):
    with pytest.raises(ValueError, match="give 1 <= enough <= ranked <= candidates"):
        Depth(candidates, enough, ranked)
