"""Nearest neighbours among a few vectors: what a person looks at to see what they hold."""

from collections.abc import Callable, Sequence

import numpy as np

_TILE, _GAP = 72, 6


def nearest(
    embeddings: np.ndarray, examples: int, neighbours: int
) -> list[tuple[int, list[tuple[int, float]]]]:
    """Evenly spread rows, each with the nearest other rows and their cosines.

    Args:
        embeddings: float32 [n, d] of unit norm.
        examples: how many rows to take.
        neighbours: how many others beside each.
    """
    count = len(embeddings)
    rows = np.unique(np.linspace(0, count - 1, min(examples, count)).astype(int))
    cosines = embeddings[rows] @ embeddings.T
    cosines[np.arange(len(rows)), rows] = -np.inf
    best = np.argsort(-cosines, axis=1, kind="stable")[:, : min(neighbours, count - 1)]
    return [
        (int(row), [(int(other), float(cosines[place, other])) for other in best[place]])
        for place, row in enumerate(rows)
    ]


def contact_sheet(
    embeddings: np.ndarray,
    picture: Callable[[int], np.ndarray],
    examples: int = 6,
    neighbours: int = 5,
) -> bytes:
    """A PNG: in each line a picture, then the pictures nearest to it.

    Args:
        embeddings: float32 [n, d] of unit norm, of at least one picture.
        picture: gives the square of a row, uint8 [side, side, 3].
        examples: lines.
        neighbours: pictures beside each.
    """
    import io

    from PIL import Image

    lines: list[Sequence[int]] = [
        [row, *(other for other, _ in others)]
        for row, others in nearest(embeddings, examples, neighbours)
    ]
    step = _TILE + _GAP
    sheet = Image.new(
        "RGB", (step * (1 + neighbours) + 2 * _GAP, step * len(lines) + _GAP), (224, 224, 224)
    )
    for y, line in enumerate(lines):
        for x, row in enumerate(line):
            tile = Image.fromarray(picture(row)).resize((_TILE, _TILE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (_GAP + x * step + (_GAP if x else 0), _GAP + y * step))
    file = io.BytesIO()
    sheet.quantize(128).save(file, "PNG", optimize=True)
    return file.getvalue()
