"""The release that a fine-tune starts from, and how its weights make room for new ids."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_assets.features.encoding import UNKNOWN, ModelEncoding
from recsys_assets.retrieval.export import read_weights
from recsys_assets.serving.release import Releases
from recsys_assets.storage import Store


class UnusableBase(ValueError):
    """A release that a fine-tune cannot start from; the message says why and what to do."""


@dataclass(frozen=True)
class Base:
    """One trained model of a release.

    Attributes:
        release: its number.
        trained_through: the last day that it has learned from, YYYY-MM-DD.
        folder: the files of the training artifact.
        encoding: as trained.
        weights: in the model's order.
        parameters: that the model was built with.
    """

    release: int
    trained_through: str
    folder: Path
    encoding: ModelEncoding
    weights: list[np.ndarray]
    parameters: dict[str, Any]

    @classmethod
    def load(cls, store: Store, release: int, part: str, through: str) -> "Base":
        """Opens a part of a release for a fine-tune on days up to `through` (YYYY-MM-DD).

        Args:
            store: holds the release and its artifacts.
            release: its number.
            part: "two_tower" or "dlrm".
            through: the last day of the fine-tune.

        Raises:
            MissingRelease, MissingArtifact: there is no such release, or its artifact is gone.
            UnusableBase: it has learned from days after `through`.
        """
        releases = Releases(store)
        trained_through = str(releases.manifest(release)["trained_through"])
        if trained_through > through:
            raise UnusableBase(
                f"release {release} was trained through {trained_through}, so a fine-tune through "
                f"{through} would know the days after: start from an older release, or fine-tune "
                "a later day"
            )
        folder = releases.part(release, part)
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return cls(
            release=release,
            trained_through=trained_through,
            folder=folder,
            encoding=ModelEncoding.load(folder / "encoding.json"),
            weights=read_weights(folder / "weights.npz"),
            parameters=metrics["parameters"],
        )


def grown(weights: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Weights for a model whose embedding tables have more rows: copies of the unknown row.

    A new id so starts as what training taught for ids that it had not seen, and moves from there.

    Args:
        weights: float32 arrays of the base, in the model's order.
        shapes: of the same weights in the new model.

    Raises:
        UnusableBase: the models differ in more than the number of rows.
    """
    if len(weights) != len(shapes):
        raise UnusableBase(
            f"the base has {len(weights)} weights, the model built from its parameters "
            f"{len(shapes)}: train the base again with this version"
        )
    return [_grown(array, shape) for array, shape in zip(weights, shapes, strict=True)]


def _grown(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape == shape:
        return array
    same_width = len(shape) == 2 and array.ndim == 2 and array.shape[1] == shape[1]
    if not same_width or array.shape[0] > shape[0]:
        raise UnusableBase(
            f"a weight of the base has shape {array.shape}, the model built from its parameters "
            f"{shape}: train the base again with this version"
        )
    added = np.repeat(array[UNKNOWN : UNKNOWN + 1], shape[0] - array.shape[0], axis=0)
    return np.concatenate([array, added])
