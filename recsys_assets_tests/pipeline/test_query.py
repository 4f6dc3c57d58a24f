import numpy as np

from recsys_assets.pipeline.query import QueryStage
from recsys_assets_tests.serving.made_up_stages import Features, Tower, asked


def test_a_batch_takes_one_round_trip():
    features = Features()
    QueryStage(features, Tower()).run(asked("ann", "bob", ""))
    assert features.round_trips == 1


def test_a_batch_is_embedded_in_one_run():
    tower = Tower()
    queries = QueryStage(Features(), tower).run(asked("ann", "bob", ""))
    assert tower.batches == [3]
    assert queries.embeddings.shape == (3, 2)


def test_the_tower_sees_user_context_and_features():
    tower = Tower()
    QueryStage(Features(), tower).run(asked("ann", "nobody"))
    assert tower.columns["user_id"].tolist() == ["ann", "nobody"]
    assert tower.columns["device"].tolist() == ["in_store", "in_store"]
    assert tower.columns["age"].tolist() == ["30-39", ""]
    assert np.isnan(tower.columns["spend_7d"][1])


def test_an_outage_degrades_known_users_only():
    queries = QueryStage(Features(down=True), Tower()).run(asked("ann", ""))
    assert queries.degraded.tolist() == [True, False]
    assert np.isfinite(queries.embeddings).all()
    assert queries.columns["age"].tolist() == ["", ""]


def test_an_anonymous_visitor_needs_no_store():
    features = Features(down=True)
    queries = QueryStage(features, Tower()).run(asked(""))
    assert not queries.degraded.any()
    assert features.round_trips == 0


def test_columns_without_features_need_neither_store_nor_tower():
    features, tower = Features(), Tower()
    columns = QueryStage(features, tower).without_features(asked("ann"))
    assert columns["user_id"].tolist() == ["ann"]
    assert columns["device"].tolist() == ["in_store"]
    assert columns["age"].tolist() == [""]
    assert features.round_trips == 0
    assert tower.batches == []


def test_some_can_be_taken_out_of_a_batch():
    queries = QueryStage(Features(), Tower()).run(asked("ann", "bob", "charles"))
    some = queries.take(np.array([2, 0]))
    assert some.columns["user_id"].tolist() == ["charles", "ann"]
    assert some.embeddings[:, 0].tolist() == [7.0, 3.0]
    assert some.degraded.tolist() == [False, False]
