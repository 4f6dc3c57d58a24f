"""Merlin's side of the models: schemas of encoded arrays, named inputs, and export to ONNX.

Runs in the models environment. A side's categorical columns are one int32 input each; its numbers
are one vector-valued continuous input, for fifty inputs of width one would cost fifty operations.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from merlin.schema import ColumnSchema, Schema

OPSET = 17


def categorical(
    name: str, cardinality: int, *tags: Any, table: str | None = None
) -> "ColumnSchema":
    """A column of embedding rows; columns with the same `table` share one."""
    from merlin.schema import ColumnSchema, Tags

    domain = {"min": 0, "max": cardinality - 1, "name": table or name}
    return ColumnSchema(
        name, dtype=np.int32, tags=[Tags.CATEGORICAL, *tags], properties={"domain": domain}
    )


def continuous(name: str, *tags: Any) -> "ColumnSchema":
    """A vector of numbers."""
    from merlin.schema import ColumnSchema, Tags

    return ColumnSchema(name, dtype=np.float32, tags=[Tags.CONTINUOUS, *tags])


def side_schema(
    cardinalities: Mapping[str, int],
    vectors: Sequence[str],
    tag: Any,
    tables: Mapping[str, str] | None = None,
) -> "Schema":
    """Schema of one side: its categorical columns, then its vectors, all with `tag`."""
    from merlin.schema import Schema

    shared = tables or {}
    return Schema(
        [
            *(categorical(n, c, tag, table=shared.get(n)) for n, c in cardinalities.items()),
            *(continuous(name, tag) for name in vectors),
        ]
    )


def named_inputs(names: Sequence[str], ids: Any) -> dict[str, Any]:
    """The columns of a matrix [n, columns], numpy or TensorFlow, as inputs [n, 1] by name."""
    return {name: ids[:, column : column + 1] for column, name in enumerate(names)}


class ExportDiffers(RuntimeError):
    """An ONNX file does not compute what the TensorFlow model does."""


def export_onnx(
    function: Callable[..., Any], inputs: Sequence[tuple[str, type, int]], file: Path
) -> None:
    """Writes a function of matrices [n, width] as ONNX.

    Args:
        function: takes the tensors in order.
        inputs: name, numpy type and width of each.
        file: to write.
    """
    import tensorflow as tf
    import tf2onnx

    signature = [
        tf.TensorSpec([None, width], tf.as_dtype(dtype), name=name) for name, dtype, width in inputs
    ]
    graph = tf.function(function, input_signature=signature)
    model, _ = tf2onnx.convert.from_function(graph, input_signature=signature, opset=OPSET)
    file.write_bytes(model.SerializeToString())


def save_weights(model: Any, file: Path) -> None:
    """Writes a model's weights in their order, for a model that is built alike to go on from.

    Not Keras' own HDF5: Merlin names all embedding tables the same, which it refuses.
    """
    write_weights(model.get_weights(), file)


def write_weights(weights: Sequence[np.ndarray], file: Path) -> None:
    """Writes arrays in their order."""
    np.savez(file, *weights)


def read_weights(file: Path) -> list[np.ndarray]:
    """Reads what `save_weights` or `write_weights` wrote.

    Raises:
        FileNotFoundError: there is no such file.
    """
    with np.load(file, allow_pickle=False) as stored:
        return [stored[f"arr_{n}"] for n in range(len(stored.files))]


def largest_difference(
    file: Path, expected: np.ndarray, feeds: dict[str, np.ndarray], limit: float = 1e-4
) -> float:
    """Largest absolute difference of the file's first output from `expected`.

    Raises:
        ExportDiffers: it is above `limit`, or not a number.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    output = session.run(None, feeds)[0]
    difference = float(np.abs(output - expected).max())
    if not difference <= limit:
        raise ExportDiffers(
            f"{file.name} differs by {difference:g} from the trained model (limit {limit:g})"
        )
    return difference
