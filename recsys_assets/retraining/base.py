"""What a fine-tune starts from: a release whose weights make room for new ids, and its examples.

These are recent ones, and a replay of older ones: trained on recent days alone a model forgets what
it knew of the rest (catastrophic forgetting; rehearsal of old examples is the simplest remedy:
Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science 7(2), 1995).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recsys_assets.features.encoding import UNKNOWN, ModelEncoding
from recsys_assets.models.examples import DAY_SECONDS, Examples, draw
from recsys_assets.models.item_history import midnight_after
from recsys_assets.models.merlin import read_weights
from recsys_assets.releases.release import Releases
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


class Mix(Protocol):
    """What both fine-tunes' hyperparameters say of the mix."""

    @property
    def recent_days(self) -> int:
        """Fewest newest days that count as recent."""

    @property
    def recent_examples(self) -> int:
        """Most recent examples of a pass."""

    @property
    def replay_examples(self) -> int:
        """Older examples of a pass."""

    @property
    def passes(self) -> int:
        """Passes, each over examples drawn anew."""


@dataclass(frozen=True)
class ReplaySample:
    """Examples of a fine-tune.

    Attributes:
        examples: those that any pass draws, each once, in the order of time.
        passes: row numbers in `examples`, int64 [drawn], shuffled, a pass each.
        share: of each of all examples, float64 [n], the expected share of a pass that it is.
        recent: how many of each pass are recent.
        replayed: how many are older.
    """

    examples: Examples
    passes: list[np.ndarray]
    share: np.ndarray
    recent: int
    replayed: int


def recent_from(trained_through: str, through: str, recent_days: int) -> int:
    """Epoch seconds from which examples are recent.

    These are all days that the base has not learned from, and at least `recent_days`: a base of
    yesterday would leave nothing to learn from but one day.
    """
    newest = midnight_after(through) - recent_days * DAY_SECONDS
    return min(midnight_after(trained_through), newest)


def draw_replay_sample(
    examples: Examples, weights: np.ndarray, since: int, mix: Mix, random: np.random.Generator
) -> ReplaySample:
    """Draws the examples of all passes.

    Args:
        examples: of everything up to the last day of the fine-tune.
        weights: float64 [n], how often each is drawn among its like.
        since: epoch seconds from which they are recent.
        mix: how many to draw.
        random: generator.

    Raises:
        ValueError: nothing is recent.
    """
    is_recent = examples.timestamp >= since
    if not is_recent.any():
        raise ValueError(
            f"no first-time purchase in the last {mix.recent_days} days: nothing to learn from; "
            "raise recent_days, or fine-tune another day"
        )
    sides = [
        (weights * is_recent, mix.recent_examples),
        (weights * ~is_recent, mix.replay_examples),
    ]
    sides = [(of_side, count) for of_side, count in sides if count and of_side.any()]
    drawn = [[draw(*side, random) for side in sides] for _ in range(mix.passes)]
    rows, positions = _numbered([random.permutation(np.concatenate(parts)) for parts in drawn])
    size = len(positions[0])
    expected = [
        of_side / of_side.sum() * len(part) / size
        for (of_side, _), part in zip(sides, drawn[0], strict=True)
    ]
    recent = int(is_recent[rows[positions[0]]].sum())
    return ReplaySample(
        examples.take(rows), positions, np.sum(expected, axis=0), recent, size - recent
    )


def _numbered(passes: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The distinct rows, ascending, and each pass in numbers of those."""
    rows, positions = np.unique(np.concatenate(passes), return_inverse=True)
    bounds = np.cumsum([len(part) for part in passes])[:-1]
    return rows, np.split(positions, bounds)
