"""Figures of a rolling evaluation: every method, the best peer, and the difference to it.

A customer who asks in several weeks is one customer: intervals resample customers, with all their
weeks together. Segments are those of `report.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recsys_assets import metrics
from recsys_assets.evaluation.report import DESCRIPTIONS, segments
from recsys_assets.evaluation.split import Split
from recsys_assets.events.contract import distinct

ALL = "all"
BEST_BY = "ndcg_at_10"
_MEASURES: Mapping[str, tuple[metrics.Metric, int]] = {
    "ndcg_at_10": (metrics.ndcg, 10),
    "recall_at_10": (metrics.recall, 10),
    "recall_at_100": (metrics.recall, 100),
    "recall_at_300": (metrics.recall, 300),
}
# By method and metric, one value a request.
Values = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class MeasuredWeek:
    """What every method got in a week.

    `users` hold the ids of those who ask, object [n], and `values` float64 [n], both by segment;
    `sold` how many different items were bought in the four weeks before, and `shown` how many of
    those any first ten places of a method hold.
    """

    first_day: str
    users: Mapping[str, np.ndarray]
    values: Mapping[str, Values]
    sold: int
    shown: Mapping[str, int]


def measure(first_day: str, split: Split, slates: Mapping[str, np.ndarray]) -> MeasuredWeek:
    """Measures slates int32 [n, 300] of every method."""
    sold = np.flatnonzero(split.purchases_recent)
    users, values = {}, {}
    for segment in segments(split):
        users[segment.name] = split.requests.user_id[segment.rows]
        counts = segment.relevant_counts
        hits = {name: metrics.hits(s[segment.rows], segment.relevant) for name, s in slates.items()}
        values[segment.name] = {
            method: {name: one(hit, counts, k) for name, (one, k) in _MEASURES.items()}
            for method, hit in hits.items()
        }
    shown = {method: int(np.isin(sold, items[:, :10]).sum()) for method, items in slates.items()}
    return MeasuredWeek(first_day, users, values, len(sold), shown)


def summarise(weeks: Sequence[MeasuredWeek], ours: str) -> dict[str, Any]:
    """All weeks together, as JSON.

    Args:
        weeks: at least one, all of the same methods.
        ours: the method that is held against the best of the others.
    """
    everyone = _segment(weeks, ALL, ours)
    for method, figures in everyone["methods"].items():
        shares = [week.shown[method] / max(week.sold, 1) for week in weeks]
        figures["coverage_at_10"] = {"mean": float(np.mean(shares))}
    present = [name for name in DESCRIPTIONS if any(name in week.users for week in weeks)]
    return {
        "weeks": [week.first_day for week in weeks],
        **everyone,
        "segments": {name: _segment(weeks, name, ours) for name in present if name != ALL},
        "by_week": {
            week.first_day: {
                method: float(values[BEST_BY].mean()) for method, values in week.values[ALL].items()
            }
            for week in weeks
        },
    }


def _segment(weeks: Sequence[MeasuredWeek], segment: str, ours: str) -> dict[str, Any]:
    """One segment over the weeks that have it: means, and ours against the best other method."""
    having = [week for week in weeks if segment in week.users]
    users, group = distinct(np.concatenate([week.users[segment] for week in having]))
    methods = {
        method: {
            name: np.concatenate([week.values[segment][method][name] for week in having])
            for name in _MEASURES
        }
        for method in having[0].values[segment]
    }
    figures: dict[str, dict[str, Any]] = {
        method: {name: asdict(metrics.bootstrap_groups(v, group)) for name, v in by_name.items()}
        for method, by_name in methods.items()
    }
    return {
        "requests": len(group),
        "customers": len(users),
        "methods": figures,
        "best_peer": _best_peer(figures, BEST_BY, ours),
        "against_best_peer": {
            name: _against(methods, figures, name, ours, group) for name in _MEASURES
        },
    }


def _best_peer(figures: Mapping[str, Mapping[str, Any]], name: str, ours: str) -> str:
    return max((peer for peer in figures if peer != ours), key=lambda p: figures[p][name]["mean"])


def _against(
    methods: Values,
    figures: Mapping[str, Mapping[str, Any]],
    name: str,
    ours: str,
    group: np.ndarray,
) -> dict[str, Any]:
    """Ours against whichever other method is best by this metric: ratio, paired difference."""
    peer = _best_peer(figures, name, ours)
    theirs = figures[peer][name]["mean"]
    difference = methods[ours][name] - methods[peer][name]
    return {
        "peer": peer,
        "ratio": figures[ours][name]["mean"] / theirs if theirs else None,
        "difference": asdict(metrics.bootstrap_groups(difference, group)),
    }


def as_markdown(figures: Mapping[str, Any], ours: str) -> str:
    """Means with their intervals, then ours against the best of the others, as Markdown."""
    shown = [name for name in _MEASURES if name != "recall_at_300"]
    lines = [
        f"weeks from {', '.join(figures['weeks'])}: {figures['requests']:,} requests of "
        f"{figures['customers']:,} customers",
        "",
        f"| method | {' | '.join(map(_title, shown))} | coverage@10 |",
        "|---|" + "---|" * (len(shown) + 1),
    ]
    for method, values in figures["methods"].items():
        cells = [_interval(values[name]) for name in shown]
        coverage = f"{values['coverage_at_10']['mean']:.2%}"
        lines.append("| " + " | ".join([method, *cells, coverage]) + " |")
    lines += ["", f"| {ours} | best other method | ratio | difference |", "|---|---|---|---|"]
    for name in shown:
        one = figures["against_best_peer"][name]
        ratio = "" if one["ratio"] is None else f"{one['ratio']:.2f}"
        lines.append(
            f"| {_title(name)} | {one['peer']} | {ratio} | {_interval(one['difference'], '+')} |"
        )
    lines += ["", *_segments_as_markdown(figures, ours)]
    return "\n".join(lines)


def _segments_as_markdown(figures: Mapping[str, Any], ours: str) -> list[str]:
    lines = ["| segment | requests | NDCG@10 | best other method |", "|---|---|---|---|"]
    for name, segment in figures["segments"].items():
        best = segment["best_peer"]
        values = (segment["methods"][method][BEST_BY] for method in (ours, best))
        mine, theirs = (_interval(one) for one in values)
        lines.append(
            f"| {name}: {DESCRIPTIONS[name]} | {segment['requests']:,} | {mine} | "
            f"{theirs} ({best}) |"
        )
    return lines


def _title(name: str) -> str:
    return name.replace("_at_", "@").replace("ndcg", "NDCG")


def _interval(estimate: Mapping[str, float], sign: str = "") -> str:
    mean, low, high = (f"{estimate[key]:{sign}.4f}" for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
