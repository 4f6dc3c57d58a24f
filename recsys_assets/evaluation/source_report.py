"""What each candidate source brings: recall, what only it finds, and its share of what is shown."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from recsys_assets.candidates.declarations import CandidateSource
from recsys_assets.evaluation.rolling import WeekCandidates
from recsys_assets.slates import PADDING

_SHOWN = 10


def source_figures(
    declared: Sequence[CandidateSource], week: WeekCandidates, slates: np.ndarray
) -> list[dict[str, Any]]:
    """One row a source, then one of all together.

    Recall is the mean over the n requests of the share of relevant items that are candidates.
    `only` is the recall that is lost without the source, `shown` the share of the first ten places
    whose item it brought; sources that brought the same item count it each.

    Args:
        declared: the sources, in the order of the candidates' bits.
        week: requests and candidates.
        slates: int32 [n, >= 10], what was made of them.
    """
    candidates, examples = week.candidates, week.examples
    bits = {
        source.name: candidates.found_by & np.uint32(1 << n) for n, source in enumerate(declared)
    }
    shown = _is_shown(week, slates)

    def recall(mask: np.ndarray) -> float:
        hits = np.bincount(
            candidates.owner, examples.bought & mask, minlength=len(examples.relevant)
        )
        return float(np.mean(hits / np.maximum(examples.relevant, 1)))

    requests = max(len(candidates), 1)
    rows = [
        {
            "source": source.name,
            "quota": source.quota,
            "candidates": float((bits[source.name] > 0).sum() / requests),
            "recall": recall(bits[source.name] > 0),
            "only": recall(candidates.found_by == np.uint32(1 << number)),
            "shown": float((shown & (bits[source.name] > 0)).sum() / max(shown.sum(), 1)),
        }
        for number, source in enumerate(declared)
    ]
    everything = np.ones(len(candidates.item), dtype=bool)
    return [
        *rows,
        {
            "source": "all together",
            "quota": sum(source.quota for source in declared),
            "candidates": len(candidates.item) / requests,
            "recall": recall(everything),
            "only": None,
            "shown": 1.0,
        },
    ]


def _is_shown(week: WeekCandidates, slates: np.ndarray) -> np.ndarray:
    """Which candidates are among the first ten places: bool [m]."""
    items = len(week.split.item_ids)
    first = slates[:, :_SHOWN]
    keys = np.arange(len(first), dtype=np.int64)[:, None] * items + first
    return np.isin(week.candidates.keys(items), keys[first != PADDING])


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table."""
    lines = [
        "| source | quota | candidates a request | recall | only by it | share of ten places |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        only = "" if row["only"] is None else f"{row['only']:.4f}"
        lines.append(
            f"| {row['source']} | {row['quota']} | {row['candidates']:.0f} | {row['recall']:.4f} | "
            f"{only} | {row['shown']:.1%} |"
        )
    return "\n".join(lines)
