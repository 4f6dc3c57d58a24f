"""EfficientNet-Lite0 as ONNX, made of the weights that its package brings.

The package holds a file of PyTorch and no model. It is read here without PyTorch, by an unpickler
that knows tensors and nothing else, so that no file can run code. Batch normalisation is folded
into the convolution before it. Making the graph takes a tenth of a second, so none is kept on disk,
where it could go stale.

Source: Tan and Le, EfficientNet, ICML 2019 (arXiv 1905.11946); the Lite variants have neither
squeeze-and-excitation nor swish, and all keep the stem and the head of B0.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

SIZE = 224
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the sixteen blocks
_EPSILON = 1e-3
_TYPES: dict[str, np.dtype] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_HEADERS = 3  # a magic number, a version, the order of bytes
_OPSET, _IR_VERSION = 17, 8


def read_weights(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a file that PyTorch saved before version 1.6, by their names.

    A tensor lies in its storage as its strides say, which need not be in order.

    Raises:
        ValueError: it is no such file.
    """
    with file.open("rb") as stream:
        try:
            for _ in range(_HEADERS):
                _Tensors(stream).load()
            tensors = _Tensors(stream).load()
            types = {storage[2]: _TYPES[storage[1][1]] for storage, *_ in tensors.values()}
            storages = {key: _storage(stream, types[key]) for key in _Tensors(stream).load()}
            return {name: _tensor(storages, *one) for name, one in tensors.items()}
        except (pickle.UnpicklingError, LookupError, EOFError, TypeError, ValueError) as error:
            raise ValueError(f"{file}: no weights as PyTorch saved them before 1.6") from error


class _Tensors(pickle.Unpickler):
    """Reads each tensor as (storage, offset, shape, strides, …), each class as its name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _as_tuple
        if module == "torch" and name in _TYPES:
            return module, name
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a tensor")

    def persistent_load(self, pid: Any) -> Any:
        return pid


def _as_tuple(*parts: Any) -> tuple[Any, ...]:
    return parts


def _storage(stream: IO[bytes], kind: np.dtype) -> np.ndarray:
    count = int.from_bytes(stream.read(8), "little")
    return np.frombuffer(stream.read(count * kind.itemsize), kind, count)


def _tensor(
    storages: dict[str, np.ndarray],
    storage: tuple[Any, ...],
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_: Any,
) -> np.ndarray:
    flat = storages[storage[2]][offset:]
    last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if last >= len(flat):
        raise ValueError("a tensor reaches beyond its storage")
    steps = [stride * flat.itemsize for stride in strides]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, shape, steps))


def efficientnet_lite0(weights: dict[str, np.ndarray]) -> bytes:
    """The model as ONNX: `pictures` float32 [n, 3, 224, 224] to `embeddings` float32 [n, 1280].

    Pixels are taken as (x - 127) / 128.
    """
    graph = _Graph(weights)
    tensor = graph.convolve("pictures", "_conv_stem", "_bn0", stride=2)
    for number, stride in enumerate(_STRIDES):
        tensor = graph.block(tensor, f"_blocks.{number}", stride)
    tensor = graph.convolve(tensor, "_conv_head", "_bn1")
    graph.node("GlobalAveragePool", [tensor], "pooled")
    graph.node("Flatten", ["pooled"], "embeddings")
    return graph.model(dimensions=len(weights["_bn1.weight"]))


class _Graph:
    """Nodes and constants of the model while it is made; a tensor goes by its name."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, np.ndarray] = {
            "zero": np.array(0, np.float32),
            "six": np.array(6, np.float32),
        }

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolve(
        self, tensor: str, name: str, norm: str, stride: int = 1, *, linear: bool = False
    ) -> str:
        """Convolution, batch normalisation, and ReLU6 unless it is linear."""
        weight = self._weights[f"{name}.weight"]
        scale, shift, mean, variance = (
            self._weights[f"{norm}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / np.sqrt(variance + _EPSILON)
        self._constants[f"{name}.w"] = weight * factor[:, None, None, None]
        self._constants[f"{name}.b"] = shift - mean * factor
        depthwise = weight.shape[1] == 1 and len(weight) > 1
        out = self.node(
            "Conv",
            [tensor, f"{name}.w", f"{name}.b"],
            f"{name}.out",
            strides=[stride, stride],
            group=len(weight) if depthwise else 1,
            auto_pad="SAME_UPPER",  # as TensorFlow pads, which trained it
        )
        return out if linear else self.node("Clip", [out, "zero", "six"], f"{name}.act")

    def block(self, tensor: str, name: str, stride: int) -> str:
        """Widen, convolve each channel, narrow; what came in is added where the shapes allow."""
        out, width = tensor, len(self._weights[f"{name}._depthwise_conv.weight"])
        if f"{name}._expand_conv.weight" in self._weights:
            width = self._weights[f"{name}._expand_conv.weight"].shape[1]
            out = self.convolve(out, f"{name}._expand_conv", f"{name}._bn0")
        out = self.convolve(out, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        out = self.convolve(out, f"{name}._project_conv", f"{name}._bn2", linear=True)
        fits = stride == 1 and width == len(self._weights[f"{name}._project_conv.weight"])
        return self.node("Add", [out, tensor], f"{name}.sum") if fits else out

    def model(self, dimensions: int) -> bytes:
        from onnx import TensorProto, checker, helper, numpy_helper

        pictures = ["n", 3, SIZE, SIZE]
        graph = helper.make_graph(
            self._nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, pictures)],
            [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", dimensions])],
            [numpy_helper.from_array(value, name) for name, value in self._constants.items()],
        )
        model = helper.make_model(
            graph, ir_version=_IR_VERSION, opset_imports=[helper.make_opsetid("", _OPSET)]
        )
        checker.check_model(model)
        return model.SerializeToString(deterministic=True)
