import json
import subprocess

import numpy as np
import pytest

from recsys_assets.models.index import index, index_kinds
from recsys_assets.models.index.index import IndexDescription, ItemIndex
from recsys_assets.models.index.index_kinds import IndexParameters
from recsys_assets.settings import load_settings


def unit_vectors(count, dimensions=16, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write(folder, vectors, kind):
    built = index.build(vectors, kind)
    ids = [f"item-{n}" for n in range(len(vectors))]
    description = IndexDescription(kind, len(ids), vectors.shape[1], 1.0)
    index.write_index(folder, built, ids, description)


def stored(folder, vectors, kind):
    write(folder, vectors, kind)
    return ItemIndex(folder)


@pytest.mark.parametrize("kind", index_kinds.KINDS)
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


@pytest.mark.parametrize("kind", ["flat", "hnsw", "hnswsq8"])
@pytest.mark.parametrize("count", [1, 5, 60])
def test_a_tiny_catalogue_ends_in_no_rows(tmp_path, kind, count):
    vectors = unit_vectors(count)

    rows, _ = stored(tmp_path, vectors, kind).search(vectors[:1], 100)

    found = rows[rows >= 0]
    assert len(found) <= count
    assert 0 in found
    assert (rows[0, len(found) :] == -1).all()


@pytest.mark.parametrize("kind", ["hnsw", "ivfflat"])
@pytest.mark.parametrize("budget", index_kinds.BUDGETS)
def test_more_candidates_than_the_budget_looks_at(tmp_path, kind, budget):
    vectors = unit_vectors(1500)

    rows, _ = stored(tmp_path, vectors, kind).search(vectors[:2], 900, budget)

    assert (rows >= 0).mean() > 0.99


@pytest.mark.parametrize(
    "parameters",
    [
        IndexParameters("hnsw", effort=40, links=8, construction=40),
        IndexParameters("hnswsq8", effort=40, links=8, construction=40),
        IndexParameters("ivfflat", effort=4, lists=64),
        IndexParameters("ivfsq8", effort=4, lists=64),
        IndexParameters("ivfpq", effort=4, lists=64),
    ],
    ids=lambda parameters: parameters.kind,
)
def test_a_larger_budget_finds_more(tmp_path, parameters):
    vectors, queries = unit_vectors(4000, 32), unit_vectors(40, 32, seed=1)
    description = IndexDescription(parameters.kind, 4000, 32, 1.0)
    index.write_index(tmp_path, index_kinds.build(vectors, parameters), [""] * 4000, description)
    found = ItemIndex(tmp_path)

    low, normal, high = (
        found.search(queries, 10, budget)[1].sum() for budget in index_kinds.BUDGETS
    )

    assert low < normal < high


def test_a_flat_index_is_exact_with_every_budget(tmp_path):
    vectors = unit_vectors(500)
    found = stored(tmp_path, vectors, "flat")

    low, normal, high = (found.search(vectors[:5], 7, budget) for budget in index_kinds.BUDGETS)

    assert (low[0] == normal[0]).all()
    assert (high[0] == normal[0]).all()


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_an_unknown_budget_names_the_choices(tmp_path, kind):
    vectors = unit_vectors(100)

    with pytest.raises(ValueError, match="'huge' is not known: choose one of low, normal, high"):
        stored(tmp_path, vectors, kind).search(vectors[:1], 5, "huge")


def test_budgets_are_kept_with_the_index(tmp_path):
    found = stored(tmp_path, unit_vectors(2000), "hnsw")

    described = json.loads((tmp_path / "index.json").read_text())

    assert described["budgets"] == {"low": 100, "normal": 400, "high": 1600}
    assert found.description.budgets == described["budgets"]


def test_budgets_may_be_named_by_who_builds_it(tmp_path):
    vectors = unit_vectors(300)
    description = IndexDescription("hnsw", 300, 16, 1.0, {"normal": 400, "spring_sale": 30})
    index.write_index(tmp_path, index.build(vectors, "hnsw"), [""] * 300, description)

    rows, _ = ItemIndex(tmp_path).search(vectors[:3], 5, "spring_sale")

    assert (rows[:, 0] == [0, 1, 2]).all()


def test_too_few_items_to_quantize_say_what_to_choose():
    with pytest.raises(ValueError, match="RECSYS_INDEX=flat"):
        index.build(unit_vectors(20), "ivfpq")


def test_an_unknown_kind_names_the_choices():
    with pytest.raises(ValueError, match="flat, hnsw, hnswsq8, ivfflat, ivfsq8, ivfpq"):
        index.build(unit_vectors(10), "annoy")


def test_embeddings_that_are_not_finite_are_refused():
    vectors = unit_vectors(10)
    vectors[3, 0] = np.nan

    with pytest.raises(ValueError, match="not finite"):
        index.build(vectors, "flat")


def test_a_folder_without_an_index_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="materialize item_index"):
        ItemIndex(tmp_path)


def test_an_index_of_older_code_says_what_to_do(tmp_path):
    write(tmp_path, unit_vectors(50), "flat")
    described = json.loads((tmp_path / "index.json").read_text())
    del described["budgets"]
    (tmp_path / "index.json").write_text(json.dumps(described))

    with pytest.raises(ValueError, match=r"index\.json has the fields .* materialize item_index"):
        ItemIndex(tmp_path)


SEARCH_THERE = """
import sys
from pathlib import Path
import numpy as np
from recsys_assets.models.index import index
folder, kind, action = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
vectors = np.load(folder / "vectors.npy")
if action == "write":
    description = index.IndexDescription(kind, len(vectors), vectors.shape[1], 1.0)
    index.write_index(folder, index.build(vectors, kind), [""] * len(vectors), description)
rows = [index.ItemIndex(folder).search(vectors[:20], 10, b)[0] for b in ("low", "normal", "high")]
np.save(folder / "rows.npy", rows)
"""


@pytest.mark.integration
@pytest.mark.parametrize("kind", index_kinds.KINDS)
@pytest.mark.parametrize("writer", ["here", "there"])
def test_either_environment_reads_what_the_other_has_written(tmp_path, kind, writer):
    vectors = unit_vectors(1000)
    np.save(tmp_path / "vectors.npy", vectors)
    if writer == "here":
        write(tmp_path, vectors, kind)

    action = "read" if writer == "here" else "write"
    python = str(load_settings().models_python)
    subprocess.run([python, "-c", SEARCH_THERE, str(tmp_path), kind, action], check=True)

    found = ItemIndex(tmp_path)
    for budget, there in zip(index_kinds.BUDGETS, np.load(tmp_path / "rows.npy"), strict=True):
        rows, _ = found.search(vectors[:20], 10, budget)
        assert (rows == there).mean() > 0.98


@pytest.mark.parametrize("kind", index_kinds.KINDS)
@pytest.mark.parametrize("dimensions", [16, 64])
def test_many_items_with_one_and_the_same_vector_hide_no_other(tmp_path, kind, dimensions):
    same, others = unit_vectors(1, dimensions), unit_vectors(110, dimensions, seed=1)
    vectors = np.concatenate([np.repeat(same, 90, axis=0), others])

    rows, _ = stored(tmp_path, vectors, kind).search(same, 200)

    assert (rows[0] >= 0).sum() >= 195


@pytest.mark.parametrize("kind", index_kinds.KINDS)
def test_a_catalogue_of_nothing_but_one_vector_is_found(tmp_path, kind):
    vectors = np.repeat(unit_vectors(1), 200, axis=0)

    rows, _ = stored(tmp_path, vectors, kind).search(vectors[:1], 50)

    assert len(set(rows[0].tolist()) - {-1}) >= 45


@pytest.mark.parametrize("kind", index_kinds.LISTS)
def test_fewer_vectors_than_lists_say_what_to_do(kind):
    parameters = IndexParameters(kind, effort=4, lists=64)

    with pytest.raises(ValueError, match="64 lists' cannot be trained on 50 vectors"):
        index_kinds.build(unit_vectors(50), parameters)


@pytest.mark.parametrize("kind", index_kinds.KINDS)
def test_a_query_that_is_not_finite_spoils_no_other(tmp_path, kind):
    found, queries = stored(tmp_path, unit_vectors(200), kind), unit_vectors(3)
    sound, _ = found.search(queries, 5)
    queries[1, 0] = np.nan

    rows, _ = found.search(queries, 5)

    assert (rows[[0, 2]] == sound[[0, 2]]).all()
    assert ((rows[1] >= -1) & (rows[1] < 200)).all()
