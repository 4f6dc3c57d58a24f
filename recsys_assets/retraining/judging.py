"""Tells weights from data: the same sessions, asked of two releases that differ in one of them.

Weights alone: the candidate's and the live ones, over the same data. Data alone: the live weights
over fresh data, and the live release as it is served, over its own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from recsys_assets.releases.offline import OfflineRelease
from recsys_assets.releases.release import Releases
from recsys_assets.releases.rendering import ServingConfig
from recsys_assets.retraining.candidate import (
    WEIGHTS,
    DaySnapshot,
    offline_release,
    served_release,
)
from recsys_assets.retraining.comparison import (
    Answerer,
    LabelledDay,
    compare,
    labelled_days,
    popular_slates,
    sample,
)
from recsys_assets.retraining.gate import (
    DATA,
    NEWEST,
    OLDER,
    Comparison,
    EvaluationWindow,
    GateRules,
    day_before,
    unknown_to,
)


def judge_models(
    releases: Releases,
    base: int,
    models: Mapping[str, Path],
    of: EvaluationWindow,
    rules: GateRules,
    attribution_hours: int,
) -> list[Comparison]:
    """Compares trained weights with the live ones, on the newest days and on older ones.

    Both are given the same data, known the day before the first day that they are asked. Days
    that either has learned from are left out of the newest ones: it would be asked what it knows.
    Where no such day is left, there is no comparison of that span. Where the data of the live
    release are older, what fresh data alone are worth is compared too.

    Args:
        releases: hold the live release.
        base: its number.
        models: folders of the trained parts, by name.
        of: the days.
        rules: how many sessions of the older span are drawn.
        attribution_hours: as for `labelled_days`.

    Raises:
        MissingPartition: events or features of a day are missing.
        MissingArtifact: what the live release was made of is gone.
    """
    store, live = releases.store, _Live(releases, base)
    newest = unknown_to(of.newest, max(of.through, live.trained_through))
    written = store.table("interactions").days()
    older = [day for day in of.older if day in written[1:]]  # of the first, nothing is known
    spans = {
        NEWEST: labelled_days(store, newest, attribution_hours),
        OLDER: sample(labelled_days(store, older, attribution_hours), rules.older_sessions),
    }
    comparisons = []
    for span, days in spans.items():
        if not _any_session(days):
            continue
        data = DaySnapshot.at(store, day_before(days[0].day))
        candidate = _answerer(offline_release(models, data, live.config))
        fresh, popularity = live.over(data), _popularity(data)
        comparisons.append(compare(span, days, candidate, fresh, popularity))
        if span == NEWEST and live.data_through < data.day:
            comparisons.append(compare(DATA, days, fresh, live.as_served(), popularity))
    return comparisons


def judge_data(
    releases: Releases, base: int, of: EvaluationWindow, attribution_hours: int
) -> Comparison | None:
    """What fresh data alone were worth to the live release on the newest days.

    None where its own are as fresh, or nobody bought anything new on those days.

    Args:
        releases: hold the live release.
        base: its number.
        of: the days.
        attribution_hours: as for `labelled_days`.

    Raises:
        MissingPartition: events or features of a day are missing.
        MissingArtifact: what the live release was made of is gone.
    """
    live = _Live(releases, base)
    if live.data_through >= of.through:
        return None
    days = labelled_days(releases.store, of.newest, attribution_hours)
    if not _any_session(days):
        return None
    data = DaySnapshot.at(releases.store, of.through)
    return compare(DATA, days, live.over(data), live.as_served(), _popularity(data))


class _Live:
    """The live release: its weights over any data, and as it is served."""

    def __init__(self, releases: Releases, release: int) -> None:
        manifest = releases.manifest(release)
        self._releases, self._release = releases, release
        self.trained_through = str(manifest["trained_through"])
        self.data_through = str(manifest["item_features_day"])
        self.config = ServingConfig.of(releases, release)

    def over(self, data: DaySnapshot) -> Answerer:
        weights = {part: self._releases.part(self._release, part) for part in WEIGHTS}
        return _answerer(offline_release(weights, data, self.config))

    def as_served(self) -> Answerer:
        return _answerer(served_release(self._releases, self._release))


def _answerer(release: OfflineRelease) -> Answerer:
    """Asks each day once, however often it is compared."""
    slates: dict[str, Sequence[np.ndarray]] = {}

    def answer(day: LabelledDay) -> Sequence[np.ndarray]:
        if day.day not in slates:
            slates[day.day] = release.answer(day.sessions, day.purchased).slates
        return slates[day.day]

    return answer


def _popularity(data: DaySnapshot) -> Answerer:
    return popular_slates(data.history.item_ids, data.columns["popularity_28d"])


def _any_session(days: Sequence[LabelledDay]) -> bool:
    return any(len(day.sessions) for day in days)
