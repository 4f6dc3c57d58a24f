"""Nearest neighbours of a few texts, so that a person can see what the vectors hold."""

from collections.abc import Sequence

import numpy as np


def nearest(
    texts: Sequence[str], embeddings: np.ndarray, examples: int = 6, neighbours: int = 3
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Evenly spread texts, each with its nearest other texts and their cosines.

    Args:
        texts: n distinct texts.
        embeddings: float32 [n, d] of unit norm.
        examples: how many texts to show.
        neighbours: how many others beside each.
    """
    count = len(texts)
    rows = np.unique(np.linspace(0, count - 1, min(examples, count)).astype(int))
    cosines = embeddings[rows] @ embeddings.T
    cosines[np.arange(len(rows)), rows] = -np.inf
    best = np.argsort(-cosines, axis=1, kind="stable")[:, : min(neighbours, count - 1)]
    return [
        (texts[row], [(texts[other], float(cosines[place, other])) for other in best[place]])
        for place, row in enumerate(rows)
    ]


def nearest_as_markdown(found: list[tuple[str, list[tuple[str, float]]]]) -> str:
    """The neighbours as a Markdown table."""
    lines = ["| text | nearest texts (cosine) |", "|---|---|"]
    for text, others in found:
        cell = "<br>".join(f"{_escape(other)} ({cosine:.2f})" for other, cosine in others)
        lines.append(f"| {_escape(text)} | {cell} |")
    return "\n".join(lines)


def _escape(text: str, limit: int = 120) -> str:
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return cut.replace("|", "\\|").replace("\n", " ")
