"""Rows give back what was put in, as exactly as their precision allows, from a mapped file."""

import numpy as np
import psutil
import pytest

from recsys_assets.models.index.quantized_rows import PRECISIONS, Rows

SOME = np.array([7, 0, 7, 41])


@pytest.fixture
def values():
    rows = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_float32_rows_are_the_matrix_itself(values):
    rows = Rows.of(values, "fp32")
    np.testing.assert_array_equal(rows[SOME], values[SOME])
    assert np.shares_memory(rows[:], values)
    assert rows.nbytes == values.nbytes


def test_int8_errs_by_at_most_half_a_step_of_the_row(values):
    values[3] *= 1000  # a row's scale is its own
    rows = Rows.of(values, "int8")
    steps = np.abs(values).max(axis=1, keepdims=True) / 127
    assert (np.abs(rows[:] - values) <= steps / 2 * 1.001).all()


def test_float16_errs_by_its_rounding(values):
    np.testing.assert_allclose(Rows.of(values, "fp16")[:], values, rtol=2**-11, atol=1e-7)


def test_int8_takes_a_quarter_and_one_scale_a_row(values):
    assert Rows.of(values, "fp16").nbytes == values.nbytes / 2
    assert Rows.of(values, "int8").nbytes == values.nbytes / 4 + 4 * len(values)


def test_a_row_of_zeros_stays_zero():
    zeros = np.zeros((2, 3), dtype=np.float32)
    np.testing.assert_array_equal(Rows.of(zeros, "int8")[:], zeros)


def test_denormal_rows_keep_their_sign():
    tiny = np.array([[2e-43, -2e-43, 0]], dtype=np.float32)  # their scale is rounded down
    assert Rows.of(tiny, "int8").parts()[0].tolist() == [[127, -127, 0]]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_saved_is_loaded_and_mapped(values, precision, tmp_path):
    rows = Rows.of(values, precision)
    rows.save(tmp_path / "rows.npy")
    loaded = Rows.load(tmp_path / "rows.npy")
    assert (loaded.precision, len(loaded), loaded.dimensions) == (precision, 50, 384)
    np.testing.assert_array_equal(loaded[SOME], rows[SOME])
    mapped = str(tmp_path / "rows.npy")
    maps = psutil.Process().memory_maps(grouped=False)
    assert "r--s" in {region.perms for region in maps if region.path == mapped}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_dot_is_the_product_with_a_vector_of_its_own(values, precision):
    rows, vectors = Rows.of(values, precision), values[:4]
    products = rows.dot(SOME, vectors)
    assert products.dtype == np.float32
    np.testing.assert_allclose(products, (rows[SOME] * vectors).sum(axis=1), atol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_indices_of_any_shape_and_none(values, precision):
    rows = Rows.of(values, precision)
    assert rows[SOME.reshape(2, 2)].shape == (2, 2, 384)
    assert rows[np.empty(0, dtype=np.int64)].shape == (0, 384)
    assert rows[SOME].dtype == np.float32


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match=r"'int4'.*fp32, fp16, int8"):
        Rows.of(np.ones((1, 2)), "int4")


@pytest.mark.parametrize(
    ("value", "precision"), [(np.nan, "int8"), (np.inf, "int8"), (70_000, "fp16")]
)
def test_values_that_a_precision_cannot_hold_are_refused(value, precision):
    with pytest.raises(ValueError, match=f"which {precision} cannot hold"):
        Rows.of(np.array([[value, 1]]), precision)


def test_a_file_of_something_else_is_named(tmp_path):
    np.save(tmp_path / "ids.npy", np.arange(3))
    with pytest.raises(ValueError, match=r"ids.npy: rows of dtype int64"):
        Rows.load(tmp_path / "ids.npy")
    with pytest.raises(FileNotFoundError, match=r"none.npy does not exist"):
        Rows.load(tmp_path / "none.npy")
