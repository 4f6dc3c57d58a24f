"""Which examples a fine-tune sees: recent ones, and a replay of older ones.

Trained on recent days alone a model forgets what it knew of the rest (catastrophic forgetting;
rehearsal of old examples is the simplest remedy: Robins, "Catastrophic forgetting, rehearsal and
pseudorehearsal", Connection Science 7(2), 1995).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from recsys_assets.retrieval.batches import draw
from recsys_assets.retrieval.examples import DAY_SECONDS, Examples
from recsys_assets.retrieval.item_history import midnight_after


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
class Span:
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


def draw_span(
    examples: Examples, weights: np.ndarray, since: int, mix: Mix, random: np.random.Generator
) -> Span:
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
    return Span(examples.take(rows), positions, np.sum(expected, axis=0), recent, size - recent)


def _numbered(passes: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The distinct rows, ascending, and each pass in numbers of those."""
    rows, positions = np.unique(np.concatenate(passes), return_inverse=True)
    bounds = np.cumsum([len(part) for part in passes])[:-1]
    return rows, np.split(positions, bounds)
