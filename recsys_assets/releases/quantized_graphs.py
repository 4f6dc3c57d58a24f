"""Exported models with smaller weights: embedding tables and dense layers of ONNX graphs.

Only standard ONNX operators are used, so any runtime that serves the float32 graph serves these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_assets.models.index.quantized_rows import RowPrecision, Rows

# A lookup costs an operator or two more; below these there is nothing to gain for it.
_SMALLEST_TABLE_BYTES = 64 * 1024
_SMALLEST_DENSE_WEIGHTS = 1024
_STANDARDIZED = 4.0  # few standardized numbers are larger
_NEGLIGIBLE = 1e-3


def quantize_tables(file: Path, precision: RowPrecision) -> tuple[int, int]:
    """Stores the embedding tables of a graph in a precision, in place.

    A table is a float matrix that nothing but `Gather` on its first axis reads. fp16 becomes
    Gather, Cast; int8 becomes Gather, Cast, and Mul by the gathered scale of the row. Tables of
    less than 64 KiB stay as they are.

    Args:
        file: an ONNX model.
        precision: of the tables.

    Returns:
        Bytes of all tables before and after, scales among them.
    """
    import onnx

    model = onnx.load(file)
    before = after = 0
    for table, lookups in _tables(model.graph):
        size = _bytes(table)
        before += size
        if precision == "fp32" or size < _SMALLEST_TABLE_BYTES:
            after += size
            continue
        after += _replace_table(model.graph, table, lookups, precision)
    if after < before:
        _write(model, file)
    return before, after


def quantize_dense(file: Path, largest: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Stores the weights of a graph's dense layers as int8, in place.

    Dynamic quantization by onnxruntime: weights by output channel, activations by the range that
    they have in the run. That range is one for the whole batch, so that a score may depend, within
    the rounding of int8, on what it is computed together with.

    One range for inputs as unlike as the small numbers of a text embedding and standardized
    features would leave nothing of the small ones. So, where a layer takes graph inputs as they
    are, its columns are first made alike, and its weights the reverse: G. Xiao et al.,
    "SmoothQuant", ICML 2023, arXiv 2211.10438, with alpha 0.5.

    Args:
        file: an ONNX model.
        largest: by graph input, the largest absolute numbers of its columns, float32 [width];
            an input that is not named holds standardized numbers.

    Returns:
        Bytes of all dense weights before and after.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(file)
    layers = _dense_layers(model.graph)
    large = [layer for layer in layers if np.prod(layer.weights.dims) >= _SMALLEST_DENSE_WEIGHTS]
    before = sum(_bytes(layer.weights) for layer in layers)
    saved = sum(_saved(layer.weights) for layer in large)
    if not large:
        return before, before
    for place, layer in enumerate(large):
        layer.node.name = layer.node.name or f"dense_{place}"
        _smooth(model.graph, layer, largest)
    quantize_dynamic(
        model,
        str(file),
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=[layer.node.name for layer in large],
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )
    return before, before - saved


@dataclass(frozen=True)
class _Layer:
    """A `MatMul` node and its constant weights."""

    node: Any
    weights: Any


def _dense_layers(graph: Any) -> list[_Layer]:
    weights = {tensor.name: tensor for tensor in graph.initializer}
    return [
        _Layer(node, weights[node.input[1]])
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in weights
    ]


def _smooth(graph: Any, layer: _Layer, largest: Mapping[str, np.ndarray]) -> None:
    from onnx import helper, numpy_helper

    inputs = _columns_of_inputs(graph, layer.node.input[0], largest)
    if inputs is None:
        return
    weights = numpy_helper.to_array(layer.weights)
    factor = np.sqrt(
        np.maximum(inputs, _NEGLIGIBLE)
        / np.maximum(np.abs(weights).max(axis=1), np.float32(_NEGLIGIBLE))
    )
    layer.weights.CopyFrom(numpy_helper.from_array(weights * factor[:, None], layer.weights.name))
    source, smoothed = layer.node.input[0], f"{layer.node.name}_smoothed"
    graph.initializer.append(numpy_helper.from_array(1 / factor[None], f"{smoothed}_by"))
    place = next(n for n, node in enumerate(graph.node) if node.name == layer.node.name)
    graph.node.insert(place, helper.make_node("Mul", [source, f"{smoothed}_by"], [smoothed]))
    layer.node.input[0] = smoothed


def _columns_of_inputs(
    graph: Any, name: str, largest: Mapping[str, np.ndarray]
) -> np.ndarray | None:
    """Largest numbers by column of a `Concat` of graph inputs; None where it is something else."""
    made_by = next((node for node in graph.node if name in node.output), None)
    widths = {given.name: given.type.tensor_type.shape.dim[1].dim_value for given in graph.input}
    if made_by is None or made_by.op_type != "Concat" or not widths.keys() >= set(made_by.input):
        return None
    return np.concatenate(
        [
            largest.get(given, np.full(widths[given], _STANDARDIZED, dtype=np.float32))
            for given in made_by.input
        ]
    )


def _tables(graph: Any) -> list[tuple[Any, list[Any]]]:
    """Float matrices with the `Gather` nodes that read them, if nothing else does."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in set(node.input):
            readers.setdefault(name, []).append(node)
    return [
        (tensor, readers[tensor.name])
        for tensor in graph.initializer
        if _is_float_matrix(tensor)
        and tensor.name in readers
        and all(_looks_up(node, tensor.name) for node in readers[tensor.name])
    ]


def _is_float_matrix(tensor: Any) -> bool:
    from onnx import TensorProto

    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2


def _looks_up(node: Any, table: str) -> bool:
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return node.op_type == "Gather" and axis == 0 and node.input[0] == table


def _replace_table(graph: Any, table: Any, lookups: list[Any], precision: RowPrecision) -> int:
    """Puts the smaller table in, and after each lookup what makes it float again; its bytes."""
    from onnx import numpy_helper

    rows = Rows.of(numpy_helper.to_array(table), precision)
    graph.initializer.remove(table)
    smaller, scale = rows.parts()
    graph.initializer.append(numpy_helper.from_array(smaller, table.name))
    if scale is not None:
        graph.initializer.append(numpy_helper.from_array(scale[:, None], f"{table.name}_scale"))
    for lookup in lookups:
        _make_float_again(graph, lookup, None if scale is None else f"{table.name}_scale")
    return rows.nbytes


def _make_float_again(graph: Any, lookup: Any, scale: str | None) -> None:
    from onnx import TensorProto, helper

    output = lookup.output[0]
    stored, floats, scales = (f"{output}_{part}" for part in ("stored", "floats", "scale"))
    lookup.output[0] = stored
    last = output if scale is None else floats
    added = [helper.make_node("Cast", [stored], [last], to=TensorProto.FLOAT)]
    if scale is not None:
        added += [
            helper.make_node("Gather", [scale, lookup.input[1]], [scales], axis=0),
            helper.make_node("Mul", [floats, scales], [output]),
        ]
    # Nodes stand in the order of their execution.
    place = next(n for n, node in enumerate(graph.node) if stored in node.output)
    for node in reversed(added):
        graph.node.insert(place + 1, node)


def _bytes(tensor: Any) -> int:
    return int(np.prod(tensor.dims)) * 4


def _saved(weights: Any) -> int:
    """Four bytes become one; each output channel has a float32 scale and an int8 zero point."""
    return int(np.prod(weights.dims)) * 3 - int(weights.dims[1]) * 5


def _write(model: Any, file: Path) -> None:
    import onnx

    onnx.checker.check_model(model)
    onnx.save(model, file)
