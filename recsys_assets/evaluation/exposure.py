"""What first ten places are like, whatever was bought: how much is shown, how new, how mixed.

Coverage and Gini are of the items that were bought in the four weeks before, week by week.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from recsys_assets import metrics
from recsys_assets.evaluation.split import Split
from recsys_assets.events.contract import distinct

PLACES = 10
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class ShownWeek:
    """First ten places of a week.

    Attributes:
        users: object [n], who asked.
        values: by method and metric, float64 [n]; NaN where too little is shown.
        sold: how many different items were bought in the four weeks before.
        places: by method, which of those is shown, int64 [n, 10]; -1 = none of them.
    """

    users: np.ndarray
    values: Mapping[str, Mapping[str, np.ndarray]]
    sold: int
    places: Mapping[str, np.ndarray]


def shown_week(
    split: Split, slates: Mapping[str, np.ndarray], attributes: Mapping[str, np.ndarray]
) -> ShownWeek:
    """The first ten places of slates int32 [n, >= 10].

    Args:
        split: the week's requests, and what was bought before.
        slates: by method.
        attributes: categorical columns of the catalogue, codes int32 [items], 0 = missing; two
            items are as alike as the share of these that they have in common.
    """
    number = np.full(len(split.item_ids) + 1, -1)  # the last is that of padding
    sold = np.flatnonzero(split.purchases_recent)
    number[sold] = np.arange(len(sold))
    first = {name: shown[:, :PLACES] for name, shown in slates.items()}
    codes = np.stack([*attributes.values()], axis=1) if attributes else None

    def values(shown: np.ndarray) -> dict[str, np.ndarray]:
        found = {"novelty_at_10": metrics.novelty(shown, split.purchases, PLACES)}
        if codes is not None:
            alike = metrics.shared_attributes(shown, codes)
            found["diversity_at_10"] = metrics.intra_list_diversity(shown, alike)
        return found

    return ShownWeek(
        split.requests.user_id,
        {name: values(shown) for name, shown in first.items()},
        len(sold),
        {name: number[shown] for name, shown in first.items()},
    )


def exposure_figures(weeks: Sequence[ShownWeek]) -> dict[str, Figures]:
    """By method and metric, all weeks together: `mean`, `low` and `high`."""
    users, customer = distinct(np.concatenate([week.users for week in weeks]))
    groups = metrics.jackknife_groups(len(users))[customer]
    of_weeks = np.split(groups, np.cumsum([len(week.users) for week in weeks])[:-1])
    figures = {}
    for method, names in weeks[0].values.items():
        of_requests = {
            name: np.concatenate([week.values[method][name] for week in weeks]) for name in names
        }
        counts = [
            _counts(week.places[method], group, int(groups.max()) + 1)
            for week, group in zip(weeks, of_weeks, strict=True)
        ]
        sold = [week.sold for week in weeks]
        figures[method] = estimates(of_requests, customer) | _of_everybody(counts, sold)
    return figures


def estimates(values: Mapping[str, np.ndarray], group: np.ndarray) -> Figures:
    """Means over requests with intervals over groups, of the metrics that are known of any."""
    return {
        name: asdict(metrics.bootstrap_groups(of_requests, group))
        for name, of_requests in values.items()
        if np.isfinite(of_requests).any()
    }


def _counts(places: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """On how many places each item is: for everybody, then without each group.

    Args:
        places: int64 [n, 10], numbers of items; -1 = none.
        group: int64 [n].
        groups: how many there are.

    Returns:
        int64 [1 + groups, items that are shown]
    """
    present = places >= 0
    shown, item = np.unique(places[present], return_inverse=True)
    owner = np.broadcast_to(group[:, None], places.shape)[present]
    keys = owner * len(shown) + item
    of_groups = np.bincount(keys, minlength=groups * len(shown)).reshape(groups, len(shown))
    everybody = of_groups.sum(axis=0, keepdims=True)
    return np.concatenate([everybody, everybody - of_groups])


def _of_everybody(counts: Sequence[np.ndarray], sold: Sequence[int]) -> Figures:
    """Means over the weeks in which anything was sold, and shown, that could be."""
    weeks = list(zip(counts, sold, strict=True))
    by_week = {
        "coverage_at_10": [
            (of_items > 0).sum(axis=1) / items for of_items, items in weeks if items
        ],
        "gini_at_10": [
            metrics.gini(of_items, items) for of_items, items in weeks if of_items.shape[1]
        ],
    }
    whole = {name: np.mean(values, axis=0) for name, values in by_week.items() if values}
    return {
        name: asdict(metrics.jackknife(float(values[0]), values[1:]))
        for name, values in whole.items()
    }
