"""Asks candidate, live release and popularity the same sessions of the spans of a partition."""

from collections.abc import Sequence
from pathlib import Path

from recsys_assets.retraining.candidate import offline_candidate
from recsys_assets.retraining.comparison import (
    Answerer,
    Comparison,
    compare,
    popular_slates,
)
from recsys_assets.retraining.gate import NEWEST, OLDER, GateRules, Spans, unknown_to
from recsys_assets.retraining.labelled import LabelledDay, labelled_days, sample
from recsys_assets.retrieval.known import Known
from recsys_assets.serving.offline import OfflineRelease
from recsys_assets.serving.release import Releases
from recsys_assets.serving.rendering import ServingConfig


def judge_models(
    releases: Releases,
    base: int,
    models: tuple[Path, Path],
    of: Spans,
    rules: GateRules,
    attribution_hours: int,
) -> list[Comparison]:
    """Compares trained models with the live release, on the newest days and on older ones.

    Days that the live release has data of, or that the candidate has learned from, are left out
    of the newest ones: they would be asked what they know. Where no such day is left, there is no
    comparison of that span.

    Args:
        releases: hold the live release.
        base: its number.
        models: folders of the trained two-tower model and of the DLRM.
        of: the days.
        rules: how many sessions of the older span are drawn.
        attribution_hours: as for `labelled_days`.

    Raises:
        MissingPartition: events or features of a day are missing.
    """
    store = releases.store
    known = Known.at(store, of.through)
    candidate = _answerer(offline_candidate(*models, known, ServingConfig()))
    live = _answerer(OfflineRelease.load(releases.fetch(base), base))
    popularity = popular_slates(known.history.item_ids, known.columns["popularity_28d"])
    known_to_any = max(of.through, releases.manifest(base)["item_features_day"])
    newest = unknown_to(of.newest, known_to_any)
    written = set(store.table("interactions").days())
    older = [day for day in of.older if day in written]
    days = {
        NEWEST: labelled_days(store, newest, attribution_hours),
        OLDER: sample(labelled_days(store, older, attribution_hours), rules.older_sessions),
    }
    return [
        compare(span, labelled, candidate, live, popularity)
        for span, labelled in days.items()
        if _any_session(labelled)
    ]


def _answerer(release: OfflineRelease) -> Answerer:
    return lambda day: release.answer(day.sessions, day.purchased).slates


def _any_session(days: Sequence[LabelledDay]) -> bool:
    return any(len(day.sessions) for day in days)
