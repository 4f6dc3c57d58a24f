"""ONNX files of trained towers and rankers. Runs in the models environment."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

OPSET = 17


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
