"""One release against another and against popularity, on sessions whose outcome is known.

Weights are told from data: the same sessions are asked of two releases that differ in one of them.
Weights alone: the candidate's and the live ones, over the same data. Data alone: the live weights
over fresh data, and the live release as it is served, over its own.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from recsys_assets.events.contract import distinct
from recsys_assets.metrics import bootstrap, ndcg, recall
from recsys_assets.models.training_data import CatalogueSnapshot
from recsys_assets.releases.offline import OfflineRelease
from recsys_assets.releases.release import Releases
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets.retraining.candidate import (
    DaySnapshot,
    offline_release,
    served_release,
    weights_of,
)
from recsys_assets.retraining.gate import (
    DATA,
    NEWEST,
    OLDER,
    Compared,
    Comparison,
    EvaluationWindow,
    GateRules,
    unknown_to,
)
from recsys_assets.retraining.labelled import LabelledDay, labelled_days, sample
from recsys_assets.settings.days import day_before

K = 10
METRICS = {"ndcg_at_10": ndcg, "recall_at_10": recall}

# Answers the sessions of a day: one array of item ids each.
Answerer = Callable[[LabelledDay], Sequence[np.ndarray]]


def compare_weights(
    releases: Releases,
    base: int,
    models: Mapping[str, Path],
    known: CatalogueSnapshot,
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
        known: the catalogue, at the end of a day not before the newest.
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
        data = DaySnapshot.of(store, known.as_of(day_before(days[0].day)))
        candidate = _answerer(offline_release(models, data, live.config))
        fresh, popularity = live.over(data), _popularity(data)
        comparisons.append(compare(span, days, candidate, fresh, popularity))
        if span == NEWEST and live.data_through < data.catalogue.day:
            comparisons.append(compare(DATA, days, fresh, live.as_served(), popularity))
    return comparisons


def compare_data(
    releases: Releases,
    base: int,
    known: CatalogueSnapshot,
    of: EvaluationWindow,
    attribution_hours: int,
) -> Comparison | None:
    """What fresh data alone were worth to the live release on the newest days.

    None where its own are as fresh, or nobody bought anything new on those days.

    Args:
        releases: hold the live release.
        base: its number.
        known: the catalogue, as for `compare_weights`.
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
    data = DaySnapshot.of(releases.store, known.as_of(of.through))
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
        weights = weights_of(self._releases, self._release)
        return _answerer(offline_release(weights.folders, data, self.config))

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
    known = data.catalogue
    return popular_slates(known.history.item_ids, known.columns["popularity_28d"])


def _any_session(days: Sequence[LabelledDay]) -> bool:
    return any(len(day.sessions) for day in days)


def quality(
    slates: Sequence[np.ndarray], relevant: Sequence[frozenset[str]]
) -> dict[str, np.ndarray]:
    """NDCG and recall at 10 of n slates, float64 [n] each, every one with something relevant."""
    hit = np.zeros((len(slates), K), dtype=bool)
    for row, (slate, wanted) in enumerate(zip(slates, relevant, strict=True)):
        shown = slate[:K]
        hit[row, : len(shown)] = [item in wanted for item in shown]
    counts = np.array([len(wanted) for wanted in relevant], dtype=np.int64)
    return {name: metric(hit, counts, K) for name, metric in METRICS.items()}


def compare(
    span: str,
    days: Sequence[LabelledDay],
    candidate: Answerer,
    live: Answerer,
    popularity: Answerer,
) -> Comparison:
    """Asks all three the same sessions.

    A household's sessions are not independent of each other, so households are what is drawn
    for the intervals, each with the mean over its sessions.

    Raises:
        ValueError: there is no session to compare on.
    """
    users = np.concatenate([day.sessions.user_id for day in days]) if days else np.empty(0)
    if not len(users):
        raise ValueError(f"no labelled session in the {span} days: nothing to compare on")
    households, owner = distinct(users)
    found = {
        name: _by_household(answerer, days, owner)
        for name, answerer in (("candidate", candidate), ("live", live), ("popular", popularity))
    }
    return Comparison(
        span,
        tuple(day.day for day in days),
        len(users),
        len(households),
        tuple(
            Compared(
                metric,
                float(found["candidate"][metric].mean()),
                float(found["live"][metric].mean()),
                float(found["popular"][metric].mean()),
                bootstrap(found["candidate"][metric] - found["live"][metric]),
                bootstrap(found["candidate"][metric] - found["popular"][metric]),
            )
            for metric in METRICS
        ),
    )


def _by_household(
    answerer: Answerer, days: Sequence[LabelledDay], owner: np.ndarray
) -> dict[str, np.ndarray]:
    """Means of a household's sessions by metric, float64 [households]."""
    parts = [quality(answerer(day), day.relevant) for day in days]
    counts = np.bincount(owner)
    return {
        metric: np.bincount(owner, np.concatenate([part[metric] for part in parts])) / counts
        for metric in METRICS
    }


def popular_slates(item_ids: np.ndarray, popularity: np.ndarray) -> Answerer:
    """The most bought items that the user has not bought yet.

    Args:
        item_ids: object [items].
        popularity: float64 [items], NaN = never bought.
    """
    order = np.argsort(-np.nan_to_num(popularity), kind="stable")
    ranked = item_ids[order]

    def answer(day: LabelledDay) -> list[np.ndarray]:
        return [_first_unseen(ranked, day.purchased.get(user, frozenset())) for user in _users(day)]

    return answer


def _users(day: LabelledDay) -> list[str]:
    users: list[str] = day.sessions.user_id.tolist()
    return users


def _first_unseen(ranked: np.ndarray, seen: frozenset[str]) -> np.ndarray:
    few = ranked[: K + len(seen)]
    return few[[item not in seen for item in few]][:K]


# What a comparison holds against what: its title, then the two sides.
_SHOWN = {
    NEWEST: ("weights alone", "candidate", "live weights, same data"),
    OLDER: ("weights alone, older days", "candidate", "live weights, same data"),
    DATA: ("data alone", "live weights, fresh data", "live as served"),
}


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    """A table a span, means and differences with their 95 % intervals."""
    lines = []
    for one in comparisons:
        title, candidate, live = _SHOWN[one.span]
        lines += [
            f"**{title}**: {', '.join(one.days)}; {one.sessions:,} sessions of "
            f"{one.households:,} households",
            "",
            f"| metric | {candidate} | {live} | popularity | difference | over popularity |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.metric} | {row.candidate:.4f} | {row.live:.4f} | {row.popularity:.4f} "
            f"| {row.over_live} | {row.over_popularity} |"
            for row in one.metrics
        ]
        lines.append("")
    return "\n".join(lines)
