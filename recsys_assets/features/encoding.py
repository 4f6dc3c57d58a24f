"""From feature columns to the arrays that models take. Runs in both environments.

An `Encoding` is fitted on the training span alone and stored as JSON beside the model that was
trained with it, so training, evaluation and serving encode a value in the same way.

What belongs here: vocabularies and normalisers. What does not: which columns a model takes
(`models/inputs.py`), and features that need the moment of the request
(`request_time.py`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recsys_assets.features.request_time import UTC

Columns = Mapping[str, np.ndarray]

UNKNOWN = 0  # the row of every vocabulary for missing and never seen values
_FORMAT = 1
_ROUNDING = 1e-12  # of a mean: a smaller spread is what floating point made of none
_CLIP = 6.0  # standard deviations: beyond it a value says "very large", not how large


class InvalidEncoding(ValueError):
    """A stored encoding that cannot be used."""


@dataclass(frozen=True)
class EncodedBatch:
    """Encoded rows: `ids` int32 [n, categorical columns]; `dense` float32 [n, dense width]."""

    ids: np.ndarray
    dense: np.ndarray


@dataclass(frozen=True)
class Vocabulary:
    """Row numbers of known strings from 1 on, by falling frequency, then by name; 0 = unknown."""

    values: tuple[str, ...]
    _rows: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = {value: row for row, value in enumerate(self.values, start=1)}
        object.__setattr__(self, "_rows", rows)

    @classmethod
    def fit(cls, values: np.ndarray, min_count: int = 1) -> "Vocabulary":
        """The non-empty strings that occur at least `min_count` times."""
        counts: dict[str, int] = {}
        for value in values.tolist():
            counts[value] = counts.get(value, 0) + 1
        counts.pop("", None)
        frequent = ((value, count) for value, count in counts.items() if count >= min_count)
        return cls(tuple(value for value, _ in sorted(frequent, key=lambda e: (-e[1], e[0]))))

    def extended(self, values: np.ndarray) -> "Vocabulary":
        """With rows for the strings of `values` that have none, after those of today.

        Row numbers that are in use keep their meaning, so trained rows stay where they are.
        """
        fresh = [value for value in Vocabulary.fit(values).values if value not in self._rows]
        return Vocabulary(self.values + tuple(fresh))

    def __len__(self) -> int:
        """Rows of an embedding table, the unknown row included."""
        return len(self.values) + 1

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Row numbers int32 [n] of strings [n]."""
        rows = self._rows
        return np.fromiter(
            (rows.get(value, UNKNOWN) for value in values.tolist()), np.int32, len(values)
        )


@dataclass(frozen=True)
class Normaliser:
    """Standardises a number; a missing one becomes the mean, and is marked.

    A column that is never negative in training is skewed, as counts and money are, or small, as
    shares are: both bear log1p, which is taken before standardising. Of a constant column every
    other value is as far off as it is in itself, or in its logarithm.
    """

    log: bool
    mean: float
    std: float

    @classmethod
    def fit(cls, values: np.ndarray) -> "Normaliser":
        """From float [n] with NaN = missing; a column without any value is all mean."""
        known = values[np.isfinite(values)].astype(np.float64)
        if not len(known):
            return cls(log=False, mean=0.0, std=1.0)
        log = bool(known.min() >= 0)
        scaled = np.log1p(known) if log else known
        mean, std = float(scaled.mean()), float(scaled.std())
        if std <= _ROUNDING * abs(mean):
            return cls(log, float(scaled[0]), 1.0)
        return cls(log, mean, std)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Float64 [n] of zero mean and unit variance, clipped to 6; missing is 0."""
        return _standardise(values, np.array(self.log), np.array(self.mean), np.array(self.std))


def _standardise(
    values: np.ndarray, log: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """Normalises float64 [...] by parameters that broadcast to it; what is not finite is 0."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    scaled = np.where(log, np.log1p(np.maximum(filled, 0.0)), filled)
    return np.where(known, np.clip((scaled - mean) / std, -_CLIP, _CLIP), 0.0)


@dataclass(frozen=True)
class Encoding:
    """Vocabularies and normalisers by column, in the order of the model's inputs.

    The dense part holds every numeric column, then one indicator a numeric column, 1 where the
    value was missing: width 2 x numeric columns.
    """

    vocabularies: dict[str, Vocabulary]
    normalisers: dict[str, Normaliser]
    _parameters: tuple[np.ndarray, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        columns = self.normalisers.values()
        parameters = tuple(
            np.array([getattr(column, name) for column in columns])
            for name in ("log", "mean", "std")
        )
        object.__setattr__(self, "_parameters", parameters)

    @classmethod
    def fit(
        cls,
        columns: Columns,
        categorical: Sequence[str],
        numeric: Sequence[str],
        vocabularies: Mapping[str, Vocabulary] | None = None,
        min_count: int = 1,
    ) -> "Encoding":
        """Learns vocabularies and normalisers from training columns.

        Args:
            columns: object arrays of strings, "" = missing; float arrays, NaN = missing.
            categorical: columns to look up.
            numeric: columns to normalise.
            vocabularies: those of columns that take another's, as they hold the same values.
            min_count: occurrences from which a value gets a row of its own.

        Raises:
            KeyError: a column is not there.
        """
        given = vocabularies or {}
        return cls(
            {
                name: given[name] if name in given else Vocabulary.fit(columns[name], min_count)
                for name in categorical
            },
            {name: Normaliser.fit(columns[name]) for name in numeric},
        )

    def extended(self, columns: Columns) -> "Encoding":
        """With the vocabularies of the given columns extended; normalisers stay as they are.

        Raises:
            KeyError: the encoding has no such column.
        """
        added = {name: self.vocabularies[name].extended(v) for name, v in columns.items()}
        return Encoding({**self.vocabularies, **added}, self.normalisers)

    @property
    def dense_width(self) -> int:
        """Columns of the dense part."""
        return 2 * len(self.normalisers)

    @property
    def cardinalities(self) -> dict[str, int]:
        """Rows of each column's embedding table, the unknown row included."""
        return {name: len(vocabulary) for name, vocabulary in self.vocabularies.items()}

    def transform(self, columns: Columns) -> EncodedBatch:
        """Encodes n rows; never raises on a value, which at worst is unknown or missing.

        Raises:
            KeyError: a column is not there.
        """
        return EncodedBatch(self.encode_ids(columns), self.encode_dense(columns))

    def encode_ids(self, columns: Columns) -> np.ndarray:
        """Vocabulary rows int32 [n, categorical columns]."""
        encoded = [v.encode(columns[name]) for name, v in self.vocabularies.items()]
        return np.stack(encoded, axis=1)

    def encode_dense(self, columns: Columns) -> np.ndarray:
        """Normalised numbers, then their indicators: float32 [n, dense width]."""
        values = np.stack(
            [np.asarray(columns[name], dtype=np.float64) for name in self.normalisers], axis=1
        )
        dense = np.empty((len(values), self.dense_width), dtype=np.float32)
        numbers = len(self.normalisers)
        dense[:, :numbers] = _standardise(values, *self._parameters)
        dense[:, numbers:] = ~np.isfinite(values)
        return dense

    def to_dict(self) -> dict[str, object]:
        """Everything that `from_dict` needs, as JSON can hold it."""
        return {
            "format": _FORMAT,
            "vocabularies": {name: list(v.values) for name, v in self.vocabularies.items()},
            "normalisers": {name: asdict(n) for name, n in self.normalisers.items()},
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Encoding":
        """The inverse of `to_dict`.

        Raises:
            InvalidEncoding: it is something else, or of another version.
        """
        try:
            if stored["format"] != _FORMAT:
                raise InvalidEncoding(
                    f"encoding has format {stored['format']!r}, this version reads {_FORMAT}: "
                    "train the model again"
                )
            return cls(
                {name: Vocabulary(tuple(v)) for name, v in stored["vocabularies"].items()},
                {name: Normaliser(**n) for name, n in stored["normalisers"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidEncoding(f"not an encoding: {error!r}; train the model again") from error


@dataclass(frozen=True)
class ModelEncoding:
    """The two sides of a model: the request with its user (`query`), and the item (`item`).

    `time_zone` is that of the clocks by which hour and weekday of a request were told in training,
    and are whenever the model is asked.
    """

    query: Encoding
    item: Encoding
    time_zone: str = UTC

    def save(self, file: Path) -> None:
        """Writes JSON."""
        sides = {"query": self.query.to_dict(), "item": self.item.to_dict()}
        file.write_text(json.dumps({**sides, "time_zone": self.time_zone}), encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> "ModelEncoding":
        """Reads what `save` wrote.

        Raises:
            InvalidEncoding: the file holds something else; names the file.
        """
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            return cls(
                Encoding.from_dict(stored["query"]),
                Encoding.from_dict(stored["item"]),
                stored.get("time_zone", UTC),  # of models from before there was another one
            )
        except (json.JSONDecodeError, KeyError, TypeError, InvalidEncoding) as error:
            raise InvalidEncoding(f"{file}: {error}") from error
