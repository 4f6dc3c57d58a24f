"""Figures of a rolling evaluation: every method, the best peer, and the difference to it.

A customer who asks in several weeks is one customer: intervals resample customers, with all their
weeks together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recsys_assets import metrics
from recsys_assets.evaluation.split import Split
from recsys_assets.events.contract import distinct

_MEASURES: Mapping[str, tuple[metrics.Metric, int]] = {
    "ndcg_at_10": (metrics.ndcg, 10),
    "recall_at_10": (metrics.recall, 10),
    "recall_at_100": (metrics.recall, 100),
    "recall_at_300": (metrics.recall, 300),
}
BEST_BY = "ndcg_at_10"


@dataclass(frozen=True)
class MeasuredWeek:
    """What every method got in a week of n requests.

    `values` hold float64 [n] by method and metric; `sold` how many different items were bought in
    the four weeks before, and `shown` how many of those a method's first ten places hold.
    """

    first_day: str
    user_id: np.ndarray
    values: Mapping[str, Mapping[str, np.ndarray]]
    sold: int
    shown: Mapping[str, int]


def measure(first_day: str, split: Split, slates: Mapping[str, np.ndarray]) -> MeasuredWeek:
    """Measures slates int32 [n, 300] of every method."""
    relevant = split.requests.relevant
    counts = np.diff(relevant.indptr)
    sold = np.flatnonzero(split.purchases_recent)
    values, shown = {}, {}
    for method, items in slates.items():
        hit = metrics.hits(items, relevant)
        values[method] = {name: one(hit, counts, k) for name, (one, k) in _MEASURES.items()}
        shown[method] = int(np.isin(sold, items[:, :10]).sum())
    return MeasuredWeek(first_day, split.requests.user_id, values, len(sold), shown)


def summarise(weeks: Sequence[MeasuredWeek], ours: str) -> dict[str, Any]:
    """All weeks together, as JSON.

    Args:
        weeks: at least one, all of the same methods.
        ours: the method that is held against the best of the others.
    """
    users, group = distinct(np.concatenate([week.user_id for week in weeks]))
    methods = {
        method: {
            name: np.concatenate([week.values[method][name] for week in weeks])
            for name in _MEASURES
        }
        for method in weeks[0].values
    }
    figures: dict[str, dict[str, Any]] = {
        method: {
            name: asdict(metrics.bootstrap_groups(values, group)) for name, values in by_name.items()
        }
        for method, by_name in methods.items()
    }
    for method in figures:
        shares = [week.shown[method] / max(week.sold, 1) for week in weeks]
        figures[method]["coverage_at_10"] = {"mean": float(np.mean(shares))}
    peers = [method for method in methods if method != ours]
    best = {
        name: max(peers, key=lambda peer: figures[peer][name]["mean"]) for name in _MEASURES
    }
    return {
        "weeks": [week.first_day for week in weeks],
        "requests": len(group),
        "customers": len(users),
        "methods": figures,
        "best_peer": best[BEST_BY],
        "against_best_peer": {
            name: {
                "peer": peer,
                "ratio": figures[ours][name]["mean"] / max(figures[peer][name]["mean"], 1e-12),
                "difference": asdict(
                    metrics.bootstrap_groups(methods[ours][name] - methods[peer][name], group)
                ),
            }
            for name, peer in best.items()
        },
        "by_week": {
            week.first_day: {
                method: float(week.values[method][BEST_BY].mean()) for method in methods
            }
            for week in weeks
        },
    }
