import numpy as np
import pytest

from recsys_assets.pipeline.available_items import AsReleased, AvailableItems
from recsys_assets.pipeline.exploration import Exploration
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


class EqualRanker:
    def score_batch(self, user_columns, timestamps, rows, embeddings=None):
        return [np.zeros(len(found), dtype=np.float32) for found in rows]


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


def test_a_bestseller_is_discounted_among_candidates_ranked_ahead_alone():
    stage = rank_stage(ranker_weight=0.0, popularity_discount=1.0)  # item 90 has sold 90 times
    ahead = np.array([5.0, 1.0], np.float32)

    listed, searched = rank(stage, [[90, 2], [90, 2]], [2, 2], ahead=[ahead, None])

    assert shown_rows(listed) == [90, 2]  # better by 4, discounted by log(91 / 3) = 3.4
    assert listed.scores.tolist() == [5.0, 1.0]
    assert shown_rows(searched) == [90, 2]
    (closer,) = rank(stage, [[90, 2]], [2], ahead=[ahead * 0.8])
    assert shown_rows(closer) == [2, 90]


class TestExploration:
    CANDIDATES = range(40, 60)

    def test_the_last_places_are_drawn_among_the_others_with_their_propensities(self):
        stage = rank_stage(exploration=Exploration(0.4))

        (ranking,) = rank(stage, [self.CANDIDATES], [5])

        shown = shown_rows(ranking)
        assert shown[:3] == [59, 58, 57]
        assert len(set(shown)) == 5
        assert ranking.propensities[:3].tolist() == [1, 1, 1]
        left = np.arange(40.0, 57)  # its number is an item's score, and how often it has sold
        odds = np.exp(left - 56) / (1 + left)
        expected = odds[shown[3] - 40] / odds.sum()
        assert ranking.propensities[3] == pytest.approx(expected, rel=1e-4)
        assert 0 < ranking.propensities[4] < 1

    def test_requests_of_other_moments_or_users_draw_anew_and_the_same_one_the_same(self):
        stage = rank_stage(ranker=EqualRanker(), exploration=Exploration(1.0))
        ann, bob, again = rank(stage, [self.CANDIDATES] * 3, [10] * 3, ["ann", "bob", "ann"])

        assert shown_rows(ann) == shown_rows(again) != shown_rows(bob)

    def test_a_slate_of_few_places_or_candidates(self):
        stage = rank_stage(exploration=Exploration(0.1))
        short, few = rank(stage, [self.CANDIDATES, [3]], [9, 10])

        assert shown_rows(short) == list(range(59, 50, -1))
        assert shown_rows(few) == [3]
        assert few.propensities.tolist() == [1.0]

    def test_where_fewer_are_left_than_asked_for_the_share_is_of_those(self):
        stage = rank_stage(exploration=Exploration(0.1))
        (ranking,) = rank(stage, [self.CANDIDATES], [200])

        assert shown_rows(ranking)[:18] == list(range(59, 41, -1))
        assert sorted(shown_rows(ranking)[18:]) == [40, 41]

    def test_where_the_slate_is_sampled_only_drawn_places_have_a_known_propensity(self):
        stage = rank_stage(sampling=5.0, exploration=Exploration(0.5))
        (ranking,) = rank(stage, [self.CANDIDATES], [4])

        assert np.isnan(ranking.propensities).tolist() == [True, True, False, False]

    def test_nothing_is_left_to_chance_unless_asked_for(self):
        (ranking,) = rank(rank_stage(), [self.CANDIDATES], [10])

        assert ranking.propensities.tolist() == [1.0] * 10


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
