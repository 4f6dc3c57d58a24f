"""A matrix of embeddings kept as float32, float16 or int8, read by row. Plain numpy.

One `.npy` file, whose dtype tells the precision: a plain float32 or float16 matrix, or for int8
a record a row, of the row's scale and its values side by side. The file is mapped, so that all
model processes of a machine share one copy of it.
"""

from pathlib import Path
from typing import Literal, get_args

import numpy as np

RowPrecision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[RowPrecision, ...] = get_args(RowPrecision)

_LARGEST = 127  # symmetric: -128 is not used, so that a value and its opposite are as exact
_PAGE = 4096
_FLOATS: dict[np.dtype, RowPrecision] = {
    np.dtype("<f4"): "fp32",
    np.dtype("<f2"): "fp16",
}


class Rows:
    """n rows of d numbers, given out as float32.

    An int8 value stands for `value * scale` of its row; the scale is the row's largest absolute
    number / 127, so an error is at most half of it (symmetric per-row quantization: Guan et al.,
    "Post-training 4-bit quantization on embedding tables", arXiv 1911.02079).

    Example:
        >>> rows = Rows.of(np.eye(3, dtype=np.float32), "int8")
        >>> rows[np.array([2])]
        array([[0., 0., 1.]], dtype=float32)

    Args:
        stored: float32 or float16 [n, d], or int8 records as `of` makes them.

    Raises:
        ValueError: another dtype or shape.
    """

    def __init__(self, stored: np.ndarray) -> None:
        if stored.dtype.names == ("scale", "values") and stored.ndim == 1:
            self.precision: RowPrecision = "int8"
            self._scale: np.ndarray | None
            self._values, self._scale = stored["values"], stored["scale"]
        elif stored.dtype in _FLOATS and stored.ndim == 2:
            self.precision = _FLOATS[stored.dtype]
            self._values, self._scale = stored, None
        else:
            raise ValueError(
                f"rows of dtype {stored.dtype} and shape {stored.shape} are not known: give "
                "float32 or float16 [n, d], or int8 records made by Rows.of"
            )
        self._stored = stored

    @classmethod
    def of(cls, values: np.ndarray, precision: RowPrecision) -> "Rows":
        """The rows of float32 [n, d] in a precision.

        Raises:
            ValueError: another precision, or values that it cannot hold.
        """
        if precision not in PRECISIONS:
            raise ValueError(
                f"row precision {precision!r} is not known: choose one of {', '.join(PRECISIONS)}"
            )
        values = np.ascontiguousarray(values, dtype=np.float32)
        if precision == "fp32":
            return cls(values)
        limit = np.finfo(np.float16 if precision == "fp16" else np.float32).max
        if not (np.abs(values) <= limit).all():
            raise ValueError(
                f"embeddings hold values that are not finite or beyond {limit:g}, which "
                f"{precision} cannot hold: train again, or keep fp32"
            )
        return cls(values.astype(np.float16) if precision == "fp16" else _as_records(values))

    @classmethod
    def load(cls, file: Path) -> "Rows":
        """Maps what `save` wrote, or any float32 matrix of `np.save`.

        Every page is touched once, so that no request has to wait for the disk.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds something else.
        """
        if not file.exists():
            raise FileNotFoundError(f"{file} does not exist: render the release again")
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        try:
            rows = cls(np.asarray(mapped))  # a plain view: indexing a memmap itself is slower
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
        rows._stored.reshape(-1).view(np.uint8)[::_PAGE].max(initial=0)
        return rows

    def save(self, file: Path) -> None:
        """Writes one `.npy` file."""
        np.save(file, self._stored, allow_pickle=False)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def dimensions(self) -> int:
        """Numbers of a row."""
        return int(self._values.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, scales among them."""
        return int(self._stored.nbytes)

    def parts(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Values [n, d] as they are kept, and of int8 the scales float32 [n]."""
        if self._scale is None:
            return self._values, None
        return np.ascontiguousarray(self._values), np.ascontiguousarray(self._scale)

    def __getitem__(self, indices: np.ndarray | slice) -> np.ndarray:
        """Rows as float32 [..., d], as of a plain matrix.

        Args:
            indices: int64 [...], or a slice; of a slice of float32 rows this is a view.
        """
        taken = self._values[indices]
        if self._scale is None:
            return taken.astype(np.float32, copy=False)
        floats = taken.astype(np.float32)
        floats *= self._scale[indices][..., None]
        return floats

    def dot(self, indices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Inner product of each row taken with a vector of its own: float32 [m].

        Args:
            indices: int64 [m].
            vectors: float32 [m, d].
        """
        taken = self._values[indices].astype(np.float32, copy=False)
        products: np.ndarray = np.einsum("md,md->m", taken, vectors)
        return products if self._scale is None else products * self._scale[indices]


def _as_records(values: np.ndarray) -> np.ndarray:
    """Records of scale and int8 values, [n]."""
    scale = np.abs(values).max(axis=1, initial=0) / np.float32(_LARGEST)
    divisor = np.where(scale > 0, scale, np.float32(1))[:, None]
    records = np.empty(len(values), dtype=[("scale", "<f4"), ("values", "i1", (values.shape[1],))])
    records["scale"] = scale
    # A denormal scale is itself rounded, so a quotient may pass the largest value.
    records["values"] = np.clip(np.rint(values / divisor), -_LARGEST, _LARGEST)
    return records
