import numpy as np
import pytest
import redis

from recsys_assets.serving.diversity import Diversity, Sampling
from recsys_assets.serving.pipeline import NO_ROW, QueryStage, RankStage, RetrieveStage
from recsys_assets.serving.requests import InvalidRequest
from recsys_assets.serving.seen_items import SeenItems

AT = 1_506_816_000


class Features:
    def __init__(self):
        self.down = False
        self.round_trips = 0

    def read(self, user_ids):
        self.round_trips += 1
        if self.down:
            raise redis.ConnectionError("refused")
        known = {"ann": ("30-39", 12.5)}
        rows = [known.get(user, ("", np.nan)) for user in user_ids]
        return {
            "age": np.array([age for age, _ in rows], dtype=object),
            "spend_7d": np.array([spend for _, spend in rows]),
        }

    def missing(self, count):
        return {"age": np.array([""] * count, dtype=object), "spend_7d": np.full(count, np.nan)}


class Tower:
    def embed(self, columns, timestamps):
        self.columns = columns
        return np.ones((len(timestamps), 2), dtype=np.float32)


class Index:
    def __init__(self, items):
        self.items = items
        self.depths = []

    def search(self, queries, k):
        self.depths.append(k)
        rows = np.tile(np.arange(k), (len(queries), 1))
        return rows, -rows.astype(np.float32)


class Seen(SeenItems):
    def __init__(self, bought=(), down=False):
        self.bought = set(bought)
        self.down = down

    def seen(self, user_ids, item_ids):
        if self.down:
            raise redis.TimeoutError("timed out")
        return [
            np.array([bool(user) and item in self.bought for item in items])
            for user, items in zip(user_ids, item_ids, strict=True)
        ]


class Ranker:
    def score(self, user_columns, timestamp, rows):
        self.user_columns = user_columns
        return rows.astype(np.float32)


def text(*values):
    return np.array([[value.encode()] for value in values], dtype=object)


def query_inputs(*users, k=10):
    return {
        "user_id": text(*users),
        "device": text(*["in_store"] * len(users)),
        "timestamp": np.full((len(users), 1), AT),
        "k": np.full((len(users), 1), k, dtype=np.int32),
    }


def retrieve_inputs(*users, k=10):
    return {
        "user_id": text(*users),
        "k": np.full((len(users), 1), k, dtype=np.int32),
        "embedding": np.ones((len(users), 2), dtype=np.float32),
        "degraded": np.zeros((len(users), 1), dtype=bool),
    }


def retrieve_stage(items=100, candidates=20, enough=5, **seen):
    names = [str(i) for i in range(items)]
    return RetrieveStage(Index(items), names, Seen(**seen), candidates, enough)


def rank_stage(items=50, sampling=0.0):
    return RankStage(
        ranker=Ranker(),
        item_ids=np.array([f"item {i}" for i in range(items)], dtype=object),
        vectors=np.eye(items, dtype=np.float32),
        diversity=Diversity(trade_off=1.0, pool=10),
        sampling=Sampling(temperature=sampling, seed=1),
    )


def rank_inputs(rows, k):
    stage = QueryStage(Features(), Tower())
    columns = stage.run(query_inputs(*["ann"] * len(rows)))["user_columns"]
    return {
        "timestamp": np.full((len(rows), 1), AT),
        "k": np.array([[k]] * len(rows), dtype=np.int32),
        "user_columns": columns,
        "row": np.array(rows, dtype=np.int64),
        "degraded": np.zeros((len(rows), 1), dtype=bool),
    }


class TestQuery:
    def test_a_batch_takes_one_round_trip(self):
        features = Features()
        QueryStage(features, Tower()).run(query_inputs("ann", "bob", ""))
        assert features.round_trips == 1

    def test_the_tower_sees_user_context_and_features(self):
        tower = Tower()
        QueryStage(Features(), tower).run(query_inputs("ann", "nobody"))
        assert tower.columns["user_id"].tolist() == ["ann", "nobody"]
        assert tower.columns["device"].tolist() == ["in_store", "in_store"]
        assert tower.columns["age"].tolist() == ["30-39", ""]
        assert np.isnan(tower.columns["spend_7d"][1])

    def test_an_outage_degrades_known_users_only(self):
        features = Features()
        features.down = True
        answer = QueryStage(features, Tower()).run(query_inputs("ann", ""))
        assert answer["degraded"].tolist() == [[True], [False]]
        assert np.isfinite(answer["embedding"]).all()

    def test_an_anonymous_visitor_needs_no_store(self):
        features = Features()
        features.down = True
        answer = QueryStage(features, Tower()).run(query_inputs(""))
        assert not answer["degraded"].any()
        assert features.round_trips == 0

    def test_an_absurd_k_is_refused(self):
        with pytest.raises(InvalidRequest, match="k is 0"):
            QueryStage(Features(), Tower()).run(query_inputs("ann", k=0))


class TestRetrieve:
    def test_bought_items_are_left_out(self):
        answer = retrieve_stage(bought=["0", "2"]).run(retrieve_inputs("ann"))
        assert answer["row"][0, :4].tolist() == [1, 3, 4, 5]
        assert (answer["row"][0, 18:] == NO_ROW).all()
        assert not answer["degraded"].any()

    def test_the_search_goes_deeper_for_a_user_who_has_bought_nearly_everything(self):
        stage = retrieve_stage(bought=[str(i) for i in range(85)])
        rows = stage.run(retrieve_inputs("ann"))["row"][0]
        assert rows[rows != NO_ROW].tolist() == list(range(85, 100))
        assert stage.index.depths == [20, 80, 100]

    def test_only_the_rows_that_need_it_are_searched_deeper(self):
        stage = retrieve_stage(bought=[str(i) for i in range(18)])
        rows = stage.run(retrieve_inputs("ann", ""))["row"]
        assert rows[0].tolist() == list(range(18, 38))
        assert rows[1].tolist() == list(range(20))

    def test_enough_candidates_are_left_to_rank_even_if_k_is_small(self):
        stage = retrieve_stage(bought=[str(i) for i in range(18)], enough=10)
        rows = stage.run(retrieve_inputs("ann", k=1))["row"][0]
        assert (rows != NO_ROW).sum() == 20

    def test_a_catalogue_smaller_than_the_candidates(self):
        rows = retrieve_stage(items=5).run(retrieve_inputs("ann"))["row"][0]
        assert rows.tolist() == [0, 1, 2, 3, 4] + [NO_ROW] * 15

    def test_an_outage_is_stated(self):
        answer = retrieve_stage(down=True).run(retrieve_inputs("ann", ""))
        assert answer["degraded"].tolist() == [[True], [False]]
        assert (answer["row"] == np.arange(20)).all()

    def test_degradation_of_the_stage_before_is_kept(self):
        inputs = retrieve_inputs("ann") | {"degraded": np.array([[True]])}
        assert retrieve_stage().run(inputs)["degraded"].all()


class TestRank:
    def test_best_scores_first(self):
        answer = rank_stage().run(rank_inputs([[3, 9, 7, NO_ROW]], k=2))
        assert answer["item_id"].tolist() == [["item 9", "item 7"]]
        assert answer["score"].tolist() == [[9.0, 7.0]]

    def test_the_ranker_gets_the_features_that_the_query_stage_read(self):
        stage = rank_stage()
        stage.run(rank_inputs([[1]], k=1))
        columns = {name: values[0] for name, values in stage.ranker.user_columns.items()}
        assert columns == {
            "age": "30-39",
            "spend_7d": 12.5,
            "user_id": "ann",
            "device": "in_store",
        }

    def test_too_few_candidates_end_in_empty_ids(self):
        answer = rank_stage().run(rank_inputs([[4, NO_ROW], [4, 5]], k=2))
        assert answer["item_id"].tolist() == [["item 4", ""], ["item 5", "item 4"]]
        assert answer["score"][0, 1] == 0

    def test_no_candidates_at_all(self):
        answer = rank_stage().run(rank_inputs([[NO_ROW]], k=3))
        assert answer["item_id"].tolist() == [["", "", ""]]

    def test_sampled_answers_keep_the_rankers_scores(self):
        answer = rank_stage(sampling=100.0).run(rank_inputs([list(range(50))], k=10))
        shown = [int(item.split()[1]) for item in answer["item_id"][0]]
        assert shown != sorted(shown, reverse=True)
        assert answer["score"][0].tolist() == shown
