"""A draft is brought into a precision as a whole, and what is served finds it in the files."""

import hashlib
import json

import numpy as np
import pytest

from recsys_assets.models.index.index import ItemIndex, build
from recsys_assets.models.index.quantized_rows import Rows
from recsys_assets.models.ranker import item_vectors
from recsys_assets.pipeline.rank import read_columns
from recsys_assets.releases.quantization import Precision, Sizes, quantize_release, quantized_index
from recsys_assets_tests.serving.tiny_pipeline import DIMENSIONS, ITEMS, TEXT, write_pipeline

EMBEDDINGS = {"text_embeddings", "item_vectors", "index_vectors", "embedding_tables"}


@pytest.fixture
def folder(tmp_path):
    return write_pipeline(tmp_path / "pipeline" / "1")


def contents(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).digest() for f in files}


def vectors_of(folder):
    text = Rows.load(folder / "item_text_embeddings.npy")
    return item_vectors(folder / "dlrm/retrieval", read_columns(folder / "items.parquet"), text)


def test_float32_changes_nothing(folder):
    before = contents(folder)
    assert quantize_release(folder, Precision()) == {}
    assert contents(folder) == before


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_every_embedding_is_kept_in_the_precision(folder, precision):
    text = np.load(folder / "item_text_embeddings.npy")
    vectors = vectors_of(folder)[:]
    sizes = quantize_release(folder, Precision(precision))
    assert sizes.keys() == EMBEDDINGS
    rows = Rows.load(folder / "item_text_embeddings.npy")
    assert rows.precision == vectors_of(folder).precision == precision
    np.testing.assert_allclose(rows[:], text, atol=np.abs(text).max() / 250)
    np.testing.assert_allclose(vectors_of(folder)[:], vectors, atol=np.abs(vectors).max() / 250)
    assert sizes["text_embeddings"] == Sizes(text.nbytes, rows.nbytes)


def test_int8_is_a_quarter_and_a_scale_a_row(folder):
    sizes = quantize_release(folder, Precision("int8"))
    scale = 4 * ITEMS
    assert sizes["text_embeddings"] == Sizes(ITEMS * TEXT * 4, ITEMS * TEXT + scale)
    assert sizes["item_vectors"] == Sizes(ITEMS * DIMENSIONS * 4, ITEMS * DIMENSIONS + scale)
    assert sizes["index_vectors"] == Sizes(ITEMS * DIMENSIONS * 4, ITEMS * DIMENSIONS)


def test_vectors_take_the_place_of_the_tower_that_made_them(folder):
    quantize_release(folder, Precision("int8"))
    assert not (folder / "dlrm/retrieval/candidate_tower.onnx").exists()
    assert len(vectors_of(folder)) == ITEMS


def test_the_index_states_its_recall_anew_and_keeps_its_budgets(folder):
    before = json.loads((folder / "item_index/index.json").read_text())
    quantize_release(folder, Precision("int8"))
    after = json.loads((folder / "item_index/index.json").read_text())
    assert 0.9 < after.pop("recall_at_100") < 1.0 == before.pop("recall_at_100")
    assert after == before
    rows, _ = ItemIndex(folder / "item_index").search(np.eye(2, DIMENSIONS, dtype=np.float32), 10)
    assert rows.shape == (2, 10)


def test_dense_layers_are_a_choice_of_their_own(folder):
    before = contents(folder)
    sizes = quantize_release(folder, Precision(dense="int8"))
    after = contents(folder)
    assert sizes.keys() == {"dense_layers"}
    assert {file for file in before if after[file] != before[file]} == {"dlrm/ranker.onnx"}


def test_a_release_is_quantized_once(folder):
    quantize_release(folder, Precision("fp16"))
    with pytest.raises(ValueError, match=r"item_text_embeddings.npy is of fp16 already"):
        quantize_release(folder, Precision("int8"))


def test_a_missing_file_is_named(folder):
    (folder / "item_text_embeddings.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"item_text_embeddings.npy does not exist"):
        quantize_release(folder, Precision("int8"))


@pytest.mark.parametrize("field", ["embeddings", "dense"])
def test_an_unknown_precision_is_named(field):
    with pytest.raises(ValueError, match=f"{field} is 'int4': choose one of fp32, .*int8"):
        Precision(**{field: "int4"})


@pytest.mark.parametrize("kind", ["hnsw", "flat", "ivfflat"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_index_finds_with_smaller_vectors_what_it_found(kind, precision):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(400, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = build(vectors, kind)
    smaller = quantized_index(index, precision)
    scores, rows = smaller.search(vectors[:50], 1)
    assert (rows[:, 0] == np.arange(50)).mean() > 0.9
    np.testing.assert_allclose(scores[:, 0], 1, atol=0.02)
    assert smaller.ntotal == index.ntotal


def test_an_index_that_compresses_by_itself_stays_as_it_is():
    vectors = np.random.default_rng(0).normal(size=(400, DIMENSIONS)).astype(np.float32)
    index = build(vectors, "ivfpq")
    assert quantized_index(index, "int8") is index
    assert quantized_index(build(vectors, "flat"), "fp32").ntotal == 400
