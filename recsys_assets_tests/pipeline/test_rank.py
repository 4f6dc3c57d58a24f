import numpy as np

from recsys_assets.pipeline.available_items import AsReleased, AvailableItems
from recsys_assets.pipeline.query import QueryStage
from recsys_assets.pipeline.rank import POPULAR, most_popular
from recsys_assets.pipeline.requests import MAX_K
from recsys_assets_tests.serving.made_up_stages import (
    AT,
    Features,
    PersonalRanker,
    Tower,
    asked,
    rank_stage,
    shown_rows,
)


def rank(stage, candidates, ks, users=None, ahead=None):
    users = users or ["ann"] * len(candidates)
    queries = QueryStage(Features(), Tower()).run(asked(*users))
    rows = [np.array(one, dtype=np.int64) for one in candidates]
    return stage.rank(
        queries, np.full(len(rows), AT), rows, ahead or [None] * len(rows), np.array(ks)
    )


def test_best_scores_first():
    (ranking,) = rank(rank_stage(), [[3, 9, 7]], [2])
    assert shown_rows(ranking) == [9, 7]
    assert ranking.scores[ranking.shown].tolist() == [9.0, 7.0]


def test_all_candidates_stay_in_the_order_retrieved():
    (ranking,) = rank(rank_stage(), [[3, 9, 7]], [1])
    assert ranking.rows.tolist() == [3, 9, 7]
    assert ranking.scores.tolist() == [3.0, 9.0, 7.0]


def test_log_odds_from_ahead_are_added_to_a_share_of_the_rankers():
    stage = rank_stage(ranker_weight=0.5)

    listed, searched = rank(
        stage, [[3, 9, 7], [3, 9, 7]], [3, 3], ahead=[np.array([6, 0, 2], np.float32), None]
    )

    assert listed.scores.tolist() == [7.5, 4.5, 5.5]
    assert shown_rows(listed) == [3, 7, 9]
    assert searched.scores.tolist() == [3.0, 9.0, 7.0]


def test_the_ranker_gets_the_features_that_the_query_stage_read():
    stage = rank_stage()
    rank(stage, [[1]], [1])
    columns = {name: values[0] for name, values in stage.ranker.user_columns.items()}
    assert columns == {"age": "30-39", "spend_7d": 12.5, "user_id": "ann", "device": "in_store"}


def test_embeddings_are_handed_on_where_both_models_share_a_tower():
    for same_tower in (False, True):
        stage = rank_stage(same_tower=same_tower)
        rank(stage, [[1], [2]], [1, 1])
        assert (stage.ranker.embeddings is not None) == same_tower


def test_lists_of_different_length_and_everybodys_own_k():
    several = rank(rank_stage(), [[4], [4, 5, 6], []], [2, 2, 3])
    assert [shown_rows(one) for one in several] == [[4], [6, 5], []]


def test_a_batch_is_ranked_as_everybody_alone():
    candidates, ks = [[4, 8], list(range(30)), [], [9, 1, 5]], [1, 10, 3, 5]
    users = ["ann", "bob", "", "ann"]
    stage = rank_stage(ranker=PersonalRanker(), sampling=5.0)
    together = rank(stage, candidates, ks, users)
    alone = [
        rank(stage, [one], [k], [user])[0]
        for one, k, user in zip(candidates, ks, users, strict=True)
    ]
    assert [shown_rows(one) for one in together] == [shown_rows(one) for one in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.scores.tolist() == other.scores.tolist()


def test_no_requests_are_no_rankings():
    assert rank(rank_stage(), [], [], [""]) == []


def test_sampled_answers_keep_the_rankers_scores():
    (ranking,) = rank(rank_stage(sampling=100.0), [range(50)], [10])
    shown = shown_rows(ranking)
    assert shown != sorted(shown, reverse=True)
    assert ranking.scores[ranking.shown].tolist() == shown


class TestPopular:
    def test_what_is_bought_most_comes_first(self):
        ranking = most_popular(np.array([3.0, np.nan, 9.0, 0.0]))
        assert shown_rows(ranking) == [2, 0, 1, 3]
        assert np.isfinite(ranking.scores).all()
        assert (np.diff(ranking.scores) <= 0).all()

    def test_more_are_kept_than_anybody_may_ask_for_but_not_all(self):
        assert MAX_K < len(most_popular(np.ones(2000)).rows) == POPULAR

    def test_the_first_k_of_them_are_a_slate(self):
        assert shown_rows(rank_stage(items=50).most_popular(3, AsReleased())) == [49, 48, 47]

    def test_a_catalogue_smaller_than_k(self):
        assert shown_rows(rank_stage(items=2).most_popular(10, AsReleased())) == [1, 0]

    def test_what_is_off_sale_makes_room_for_the_next(self):
        items = AvailableItems([str(row) for row in range(50)])
        items.replace(["49", "47"])
        ranking = rank_stage(items=50).most_popular(3, items)
        assert shown_rows(ranking) == [48, 46, 45]
        assert len(ranking.scores) == 3
