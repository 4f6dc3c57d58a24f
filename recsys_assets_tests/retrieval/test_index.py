import numpy as np
import pytest

from recsys_assets.retrieval import index
from recsys_assets.retrieval.index import IndexDescription, ItemIndex


def unit_vectors(count, dimensions=16, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def stored(folder, vectors, kind):
    built = index.build(vectors, kind)
    ids = [f"item-{n}" for n in range(len(vectors))]
    description = IndexDescription(kind, len(ids), vectors.shape[1], 1.0)
    index.write_index(folder, built, ids, description)
    return ItemIndex(folder)


@pytest.mark.parametrize("kind", index.KINDS)
def test_every_kind_finds_an_item_by_its_own_vector(tmp_path, kind):
    vectors = unit_vectors(2000)

    rows, scores = stored(tmp_path, vectors, kind).search(vectors[:50], 10)

    assert rows.shape == scores.shape == (50, 10)
    assert rows.dtype == np.int64
    assert (rows[:, :10] == np.arange(50)[:, None]).any(axis=1).mean() > 0.9
    assert (np.diff(scores, axis=1) <= 1e-6).all()


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_recall_against_exact_search(kind):
    vectors = unit_vectors(3000)

    recall = index.recall_at(index.build(vectors, kind), vectors, unit_vectors(40, seed=1))

    assert recall >= 0.98


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
@pytest.mark.parametrize("count", [1, 5, 60])
def test_a_tiny_catalogue_ends_in_no_rows(tmp_path, kind, count):
    vectors = unit_vectors(count)

    rows, _ = stored(tmp_path, vectors, kind).search(vectors[:1], 100)

    found = rows[rows >= 0]
    assert len(found) <= count
    assert 0 in found
    assert (rows[0, len(found) :] == -1).all()


def test_more_candidates_than_the_graph_searches_by_default(tmp_path):
    vectors = unit_vectors(1500)

    rows, _ = stored(tmp_path, vectors, "hnsw").search(vectors[:2], 900)

    assert (rows >= 0).mean() > 0.99


def test_too_few_items_to_quantize_say_what_to_choose():
    with pytest.raises(ValueError, match="RECSYS_INDEX=flat"):
        index.build(unit_vectors(20), "ivfpq")


def test_an_unknown_kind_names_the_choices():
    with pytest.raises(ValueError, match="flat, hnsw, ivfpq"):
        index.build(unit_vectors(10), "annoy")


def test_embeddings_that_are_not_finite_are_refused():
    vectors = unit_vectors(10)
    vectors[3, 0] = np.nan

    with pytest.raises(ValueError, match="not finite"):
        index.build(vectors, "flat")


def test_a_folder_without_an_index_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="materialize item_index"):
        ItemIndex(tmp_path)
