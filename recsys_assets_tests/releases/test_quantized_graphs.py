"""Graphs with smaller weights compute the same, within the rounding of their precision."""

import numpy as np
import onnx
import pytest

from recsys_assets.models.device import CPU
from recsys_assets.releases.quantized_graphs import quantize_dense, quantize_tables
from recsys_assets_tests.serving.tiny_pipeline import BRANDS, TEXT, write_graph

WIDTHS = {"item_ids": 2, "item_numbers": 6, "item_text": TEXT}
LARGE, SMALL = BRANDS * 16 * 4, BRANDS * 2 * 4
ROWS = {"fp16": LARGE // 2, "int8": LARGE // 4 + BRANDS * 4}
DENSE = (6 + TEXT) * 128 * 4
TINY = (128 + 18) * 4  # the last layer: not worth it


@pytest.fixture
def graph(tmp_path):
    write_graph(tmp_path / "ranker.onnx", WIDTHS, outputs=1, hidden=128)
    return tmp_path / "ranker.onnx"


def feeds(count=40):
    random = np.random.default_rng(2)
    return {
        "item_ids": random.integers(0, BRANDS, (count, 2)).astype(np.int32),
        "item_numbers": random.normal(size=(count, 6)).astype(np.float32),
        "item_text": random.normal(size=(count, TEXT), scale=0.01).astype(np.float32),
    }


def output(file):
    return CPU.open_session(file, threads=1).run(None, feeds())[0]


def stored(file):
    return {tensor.name: tensor for tensor in onnx.load(file).graph.initializer}


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 1e-3), ("int8", 2e-2)])
def test_tables_shrink_and_the_function_stays(graph, precision, tolerance):
    exact = output(graph)
    assert quantize_tables(graph, precision) == (LARGE + SMALL, ROWS[precision] + SMALL)
    np.testing.assert_allclose(output(graph), exact, atol=tolerance * np.abs(exact).max())
    assert not np.array_equal(output(graph), exact)


def test_small_tables_and_dense_weights_are_not_tables_worth_it(graph):
    quantize_tables(graph, "int8")
    floats = {n for n, t in stored(graph).items() if t.data_type == onnx.TensorProto.FLOAT}
    assert floats == {"small", "hidden", "last", "large_scale"}


def test_float32_leaves_the_file_alone(graph):
    before = graph.read_bytes()
    assert quantize_tables(graph, "fp32") == (LARGE + SMALL, LARGE + SMALL)
    assert graph.read_bytes() == before


def test_a_table_that_something_else_reads_stays(graph):
    model = onnx.load(graph)
    model.graph.node.append(onnx.helper.make_node("Abs", ["large"], ["of_all"]))
    onnx.save(model, graph)
    assert quantize_tables(graph, "int8") == (SMALL, SMALL)


def test_dense_weights_become_int8(graph):
    exact = output(graph)
    before, after = quantize_dense(graph, {})
    assert before == DENSE + TINY
    assert after == DENSE // 4 + 128 * 5 + TINY
    np.testing.assert_allclose(output(graph), exact, atol=0.05 * np.abs(exact).max())
    kinds = [tensor.data_type for tensor in stored(graph).values() if len(tensor.dims) == 2]
    assert kinds.count(onnx.TensorProto.INT8) >= 1


def test_small_inputs_survive_beside_large_ones(graph, tmp_path):
    """Text of a hundredth of the numbers' size, and as important, is not rounded away."""
    model = onnx.load(graph)
    hidden = next(tensor for tensor in model.graph.initializer if tensor.name == "hidden")
    weights = onnx.numpy_helper.to_array(hidden).copy()
    weights[6:] *= 100
    hidden.CopyFrom(onnx.numpy_helper.from_array(weights, "hidden"))
    onnx.save(model, graph)
    onnx.save(model, tmp_path / "unaware.onnx")
    exact = output(graph)
    quantize_dense(graph, {"item_text": np.full(TEXT, 0.03, dtype=np.float32)})
    quantize_dense(tmp_path / "unaware.onnx", {"item_text": np.full(TEXT, 4.0, dtype=np.float32)})
    aware, unaware = (
        np.abs(output(file) - exact).mean() for file in (graph, tmp_path / "unaware.onnx")
    )
    assert aware < unaware / 3


def test_both_one_after_the_other(graph):
    exact = output(graph)
    quantize_tables(graph, "int8")
    quantize_dense(graph, {})
    np.testing.assert_allclose(output(graph), exact, atol=0.05 * np.abs(exact).max())
