"""Figures of a rolling evaluation: every method, the best peer, and the difference to it.

A customer who asks in several weeks is one customer: intervals resample customers, with all their
weeks together. Segments are those of `report.py`. A figure that a week says nothing of, such as
what was paid where no price is known, is absent.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from recsys_assets import metrics
from recsys_assets.evaluation import exposure
from recsys_assets.evaluation.calibration import calibration_figures
from recsys_assets.evaluation.report import DESCRIPTIONS, Segment, departments, segments
from recsys_assets.evaluation.rolling import WEEK_DAYS, Predictions, Shop
from recsys_assets.evaluation.spending import spending
from recsys_assets.evaluation.split import Split
from recsys_assets.events.contract import distinct

ALL = "all"
BEST_BY = "ndcg_at_10"
MOST_DEPARTMENTS = 8
_SEGMENTS = [name for name in DESCRIPTIONS if name != ALL]
_HITS: Mapping[str, tuple[metrics.Metric, int]] = {
    "ndcg_at_10": (metrics.ndcg, 10),
    "recall_at_10": (metrics.recall, 10),
    "recall_at_100": (metrics.recall, 100),
    "recall_at_300": (metrics.recall, 300),
}
_WORTH = "value_recall_at_10"
ACCURACY = (*_HITS, _WORTH)
_FOUND = ("ndcg_at_10", "recall_at_10", _WORTH, "recall_at_100")
_SHOWN = ("coverage_at_10", "gini_at_10", "novelty_at_10", "diversity_at_10")
# By method and metric, one value a request.
Values = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class SegmentValues:
    """Ids of those who ask, object [n], and what each method got, float64 [n] by metric."""

    users: np.ndarray
    values: Values


@dataclass(frozen=True)
class MeasuredWeek:
    """What every method got in a week.

    `segments` and `departments` are accuracy by name, with `all` among the first; `shown` says of
    all requests what else their first ten places are like; `predictions` are the ranker's.
    """

    first_day: str
    segments: Mapping[str, SegmentValues]
    departments: Mapping[str, SegmentValues]
    shown: exposure.ShownWeek
    predictions: Predictions


def measure(
    shop: Shop,
    first_day: date,
    split: Split,
    slates: Mapping[str, np.ndarray],
    predictions: Predictions,
) -> MeasuredWeek:
    """Measures slates int32 [n, 300] of every method.

    Args:
        shop: of the week.
        first_day: of the week.
        split: its requests.
        slates: by method.
        predictions: of the ranker, for the candidates of the same requests.
    """
    worth = spending(shop.interactions, split, first_day, WEEK_DAYS)

    def values(segment: Segment) -> SegmentValues:
        paid = worth[segment.rows].multiply(segment.relevant).tocsr()
        by_method = {name: shown[segment.rows] for name, shown in slates.items()}
        return SegmentValues(
            split.requests.user_id[segment.rows],
            {
                name: _accuracy(shown, segment) | {_WORTH: metrics.weighted_recall(shown, paid, 10)}
                for name, shown in by_method.items()
            },
        )

    return MeasuredWeek(
        str(first_day),
        {one.name: values(one) for one in segments(split)},
        {one.name: values(one) for one in departments(split, shop.departments)},
        exposure.shown_week(split, slates, shop.log.attributes),
        predictions,
    )


def _accuracy(slates: np.ndarray, segment: Segment) -> dict[str, np.ndarray]:
    hit = metrics.hits(slates, segment.relevant)
    return {name: one(hit, segment.relevant_counts, k) for name, (one, k) in _HITS.items()}


def summarise(weeks: Sequence[MeasuredWeek], ours: str) -> dict[str, Any]:
    """All weeks together, as JSON.

    Args:
        weeks: at least one, all of the same methods.
        ours: the method that is held against the best of the others.
    """
    everyone = _segment([week.segments[ALL] for week in weeks], ours)
    for method, figures in exposure.exposure_figures([week.shown for week in weeks]).items():
        everyone["methods"][method] |= figures
    return {
        "weeks": [week.first_day for week in weeks],
        **everyone,
        "segments": _by_name([week.segments for week in weeks], ours, _SEGMENTS),
        "departments": _by_name(
            [week.departments for week in weeks],
            ours,
            _largest([week.departments for week in weeks]),
        ),
        "calibration": calibration_figures(
            [week.shown.users for week in weeks], [week.predictions for week in weeks]
        ),
        "by_week": {
            week.first_day: {
                method: float(values[BEST_BY].mean())
                for method, values in week.segments[ALL].values.items()
            }
            for week in weeks
        },
    }


def _largest(weeks: Sequence[Mapping[str, SegmentValues]]) -> list[str]:
    """The names with most requests in all weeks together, the largest first."""
    requests = Counter[str]()
    for week in weeks:
        requests.update({name: len(one.users) for name, one in week.items()})
    return [name for name, _ in requests.most_common(MOST_DEPARTMENTS)]


def _by_name(
    weeks: Sequence[Mapping[str, SegmentValues]], ours: str, names: Sequence[str]
) -> dict[str, Any]:
    """Figures of those of the names that any week has, over the weeks that have them."""
    having = {name: [week[name] for week in weeks if name in week] for name in names}
    return {name: _segment(parts, ours) for name, parts in having.items() if parts}


def _segment(parts: Sequence[SegmentValues], ours: str) -> dict[str, Any]:
    """Means, and ours against the best other method."""
    users, group = distinct(np.concatenate([one.users for one in parts]))
    methods = {
        method: {
            name: np.concatenate([one.values[method][name] for one in parts]) for name in ACCURACY
        }
        for method in parts[0].values
    }
    figures = {method: exposure.estimates(values, group) for method, values in methods.items()}
    return {
        "requests": len(group),
        "customers": len(users),
        "methods": figures,
        "best_peer": _best_peer(figures, BEST_BY, ours),
        "against_best_peer": {
            name: _against(methods, figures, name, ours, group) for name in figures[ours]
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
    methods = figures["methods"]
    lines = [
        f"weeks from {', '.join(figures['weeks'])}: {figures['requests']:,} requests of "
        f"{figures['customers']:,} customers",
        "",
        *_methods_as_markdown(methods, _FOUND),
        "",
        *_methods_as_markdown(methods, _SHOWN),
        "",
        f"| {ours} | best other method | ratio | difference |",
        "|---|---|---|---|",
    ]
    for name, one in figures["against_best_peer"].items():
        ratio = "" if one["ratio"] is None else f"{one['ratio']:.2f}"
        lines.append(
            f"| {_title(name)} | {one['peer']} | {ratio} | {_interval(one['difference'], '+')} |"
        )
    described = {f"{name}: {DESCRIPTIONS[name]}": one for name, one in figures["segments"].items()}
    lines += ["", *_parts_as_markdown("segment", described, ours)]
    if figures["departments"]:
        lines += ["", *_parts_as_markdown("department", figures["departments"], ours)]
    return "\n".join([*lines, "", _calibration_as_markdown(figures["calibration"])])


def _methods_as_markdown(
    methods: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> list[str]:
    """A table of those metrics that are known of any method."""
    known = [name for name in names if any(name in values for values in methods.values())]
    lines = [f"| method | {' | '.join(map(_title, known))} |", "|---|" + "---|" * len(known)]
    for method, values in methods.items():
        cells = [_interval(values[name]) if name in values else "" for name in known]
        lines.append("| " + " | ".join([method, *cells]) + " |")
    return lines


def _parts_as_markdown(title: str, parts: Mapping[str, Any], ours: str) -> list[str]:
    lines = [f"| {title} | requests | NDCG@10 | best other method |", "|---|---|---|---|"]
    for name, one in parts.items():
        best = one["best_peer"]
        mine, theirs = (_interval(one["methods"][method][BEST_BY]) for method in (ours, best))
        lines.append(f"| {name} | {one['requests']:,} | {mine} | {theirs} ({best}) |")
    return lines


def _calibration_as_markdown(figures: Mapping[str, Any]) -> str:
    error = _interval(figures["expected_calibration_error"])
    return (
        f"Of {figures['candidates']:,} candidates {figures['bought']:.4f} were bought and "
        f"{figures['predicted']:.4f} predicted; expected calibration error {error}"
    )


def _title(name: str) -> str:
    title = name.replace("_at_", "@").replace("ndcg", "NDCG").replace("gini", "Gini")
    return f"{title.removeprefix('value_')} by value" if name == _WORTH else title


def _interval(estimate: Mapping[str, float], sign: str = "") -> str:
    mean, low, high = (f"{estimate[key]:{sign}.4f}" for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
