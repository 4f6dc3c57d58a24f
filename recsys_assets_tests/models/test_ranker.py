"""A ranker's item vectors come from the release's file, or else from its tower."""

import numpy as np
import pytest

from recsys_assets.models.index.quantized_rows import Rows
from recsys_assets.models.ranker import ITEM_VECTORS, item_vectors
from recsys_assets.pipeline.rank import read_columns
from recsys_assets_tests.serving.tiny_pipeline import DIMENSIONS, ITEMS, write_pipeline


@pytest.fixture
def release(tmp_path):
    folder = write_pipeline(tmp_path)
    columns = read_columns(folder / "items.parquet")
    return folder / "dlrm/retrieval", columns, np.load(folder / "item_text_embeddings.npy")


def test_the_tower_makes_them_where_the_release_holds_none(release):
    vectors = item_vectors(*release)
    assert (vectors.precision, len(vectors), vectors.dimensions) == ("fp32", ITEMS, DIMENSIONS)


def test_a_plain_matrix_and_rows_of_texts_give_the_same(release):
    folder, columns, text = release
    of_rows = item_vectors(folder, columns, Rows.of(text, "fp32"))
    np.testing.assert_array_equal(of_rows[:], item_vectors(*release)[:])


def test_the_release_s_own_are_taken_as_they_are(release):
    stored = Rows.of(np.ones((ITEMS, DIMENSIONS)), "int8")
    stored.save(release[0] / ITEM_VECTORS)
    np.testing.assert_array_equal(item_vectors(*release)[:], stored[:])
    assert item_vectors(*release).precision == "int8"
