import numpy as np

from recsys_assets.models.index import index_kinds, index_measure
from recsys_assets.models.index.index_kinds import IndexParameters
from recsys_assets_tests.models.index.test_index import unit_vectors


def test_exact_search_in_chunks_is_exact_search():
    vectors, queries = unit_vectors(700), unit_vectors(9, seed=1)
    chunks = ((start, vectors[start : start + 100]) for start in range(0, 700, 100))

    rows = index_measure.exact_nearest(chunks, queries, 20)

    assert (rows == np.argsort(-(queries @ vectors.T), axis=1)[:, :20]).all()


def test_recall_is_the_share_of_the_best_that_was_found():
    found = np.array([[3, 1, 9, 7], [5, 6, 0, 0]])
    exact = np.array([[1, 3], [7, 8]])

    assert index_measure.recalls(found, exact).tolist() == [1.0, 0.0]


def test_each_budget_has_its_recall():
    vectors, queries = unit_vectors(3000, 32), unit_vectors(30, 32, seed=1)
    built = index_kinds.build(vectors, IndexParameters("ivfflat", effort=4, lists=64))

    budgets = index_kinds.budgets_of(built)
    recall = index_measure.recall_by_budget(built, vectors, queries, budgets, k=10)

    assert budgets == {"low": 1, "normal": 4, "high": 16}
    assert recall["low"] < recall["normal"] < recall["high"]


def test_size_is_that_of_the_file(tmp_path):
    import faiss

    built = index_kinds.build(unit_vectors(500), IndexParameters("hnsw", 50, 8, 40))
    faiss.write_index(built, str(tmp_path / "index.faiss"))

    assert index_measure.serialized_bytes(built) == (tmp_path / "index.faiss").stat().st_size


def test_latency_is_of_as_many_searches_as_asked_for():
    built = index_kinds.build(unit_vectors(100), IndexParameters("flat"))

    timed = index_measure.latency(built, unit_vectors(7), 5, effort=100, count=50)
    hurried = index_measure.latency(built, unit_vectors(7), 5, effort=100, count=50, seconds=0)

    assert timed.queries == 50
    assert hurried.queries == 30
    assert 0 < timed.p50_ms <= timed.p99_ms
