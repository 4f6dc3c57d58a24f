import json

import numpy as np
import pytest

from benchmarks import index, index_run
from benchmarks.index_run import Bench, TooLong
from benchmarks.synthetic_vectors import Vectors
from recsys_assets.models.index.index_kinds import IndexParameters
from recsys_assets_tests.models.index.test_index import unit_vectors

KINDS = ("flat", "hnsw")


def bench(folder, build_seconds=60.0):
    return Bench(folder, unit_vectors(300), unit_vectors(20, seed=1), build_seconds)


def results(folder):
    return json.loads((folder / "index.json").read_text())["results"]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(index_run, "_SEARCHES", 5)


def test_each_size_and_kind_is_measured(tmp_path, quick):
    index_run.run(bench(tmp_path), [300, 900], KINDS)

    found = results(tmp_path)
    assert {name.split(" ")[0] for name in found} == {
        "300/flat",
        "300/hnsw",
        "900/flat",
        "900/hnsw",
    }
    assert {result["synthetic"] for result in found.values()} == {0, 600}
    exact = found["900/flat"]["searches"]
    assert [search["recall_at_100"] for search in exact] == [1.0]
    assert all(result["bytes"] > 0 for result in found.values())


def test_a_run_goes_on_where_another_ended(tmp_path, quick):
    index_run.run(bench(tmp_path), [300], ["flat"])
    before = results(tmp_path)

    index_run.run(bench(tmp_path), [300], KINDS)

    after = results(tmp_path)
    assert after["300/flat"] == before["300/flat"]
    assert len(after) > len(before)


def test_a_build_that_takes_too_long_is_said_to_be_missing_and_tried_again(tmp_path, quick):
    index_run.run(bench(tmp_path, build_seconds=-1.0), [300], ["flat"])

    text = index.as_markdown(json.loads((tmp_path / "index.json").read_text()))

    assert "given up: 300 of 300 added" in results(tmp_path)["300/flat"]["not_measured"]
    assert "300 flat: given up" in text
    index_run.run(bench(tmp_path), [300], ["flat"])
    assert results(tmp_path)["300/flat"]["searches"]
    with pytest.raises(TooLong):
        index_run._build(Vectors(unit_vectors(50), 50), IndexParameters("flat"), until=0.0)


def test_the_report_has_a_table_for_each_size_and_a_picture(tmp_path, quick):
    index_run.run(bench(tmp_path), [300, 900], ["flat"])

    text = index.write_report(tmp_path)

    assert "### 300 vectors, the catalogue" in text
    assert "### 900 vectors, 600 synthetic" in text
    assert (tmp_path / "index.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "index.md").read_text() == text


def test_synthetic_vectors_begin_with_the_catalogue_and_are_alike_at_every_size():
    catalogue = unit_vectors(500)

    small, large = (
        np.concatenate([chunk for _, chunk in Vectors(catalogue, count).chunks()])
        for count in (800, 70_000)
    )

    assert small.shape == (800, 16)
    assert (small[:500] == catalogue).all()
    assert (large[:800] == small).all()
    assert np.allclose(np.linalg.norm(large, axis=1), 1, atol=1e-5)
    assert len(np.unique(large[500:], axis=0)) > 69_000
    nearest = (large[-200:] @ catalogue.T).max(axis=1)
    assert np.median(nearest) > 0.95


def test_a_sample_is_drawn_evenly():
    vectors = Vectors(unit_vectors(1000), 3000)

    assert len(vectors.sample(10_000)) == 3000
    assert 400 < len(vectors.sample(500)) < 600
