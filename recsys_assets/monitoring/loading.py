"""Reads what a day's drift is measured on: the live release, its reference, the day itself."""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import polars as pl

from recsys_assets.features.encoding import ModelEncoding
from recsys_assets.monitoring.profile import ModelVocabulary
from recsys_assets.monitoring.traffic import (
    ANSWER_KEYS,
    SCORES_SCHEMA,
    Traffic,
    answered_requests,
    labels_of,
    no_labels,
    no_scores,
    purchases,
    recorded_traffic,
)
from recsys_assets.releases.release import MissingRelease, Releases
from recsys_assets.storage import MissingPartition, Store

REQUEST_LOG, OUTCOMES = "request_log", "outcomes"
_ENCODING = "encoding.json"
SERVED_DAYS = 28  # how far back a release's own earlier answers are looked for
_SCORE_DAYS = 7  # of them, the first: a whole week, which later ones are compared with
LABELLED_DAYS = 14
_SCORE_COLUMNS = [*ANSWER_KEYS, "release", "answered_at", "degraded", "candidate_scores"]
_LABEL_COLUMNS = ["release", "user_id", "timestamp", "degraded", "auc", "scores", "purchased"]
_NOT_FEATURES = (
    *("request_id", "release", "answered_at", "degraded", "k"),
    *("item_ids", "scores", "candidate_ids", "candidate_scores"),
)


@dataclass(frozen=True)
class LiveWeights:
    """The live weights.

    Attributes:
        release: that brought them.
        trained_through: the last day that their training knew, YYYY-MM-DD.
        known: their vocabularies.
        releases: that have answered with them: that one, and its refreshes with newer data.
    """

    release: int
    trained_through: str
    known: ModelVocabulary
    releases: frozenset[int]


@dataclass(frozen=True)
class DayTraffic:
    """The traffic of one day, and what was left out of it: the share of degraded answers."""

    traffic: Traffic
    degraded: float


def live_release(releases: Releases) -> LiveWeights:
    """The weights of the promoted release.

    Raises:
        MissingRelease: nothing is promoted.
    """
    promoted = releases.promoted()
    if promoted is None:
        raise MissingRelease(
            f"no release is promoted at {releases.url}: materialize promoted_release, "
            "for drift is measured against what the live release was trained on"
        )
    return as_live(releases, promoted.release)


def as_live(releases: Releases, release: int) -> LiveWeights:
    """The weights of a release as if it were the live one.

    Raises:
        MissingRelease: there is no such release.
        MissingArtifact: what it was made of is gone.
    """
    encoding = ModelEncoding.load(releases.part(release, "dlrm") / _ENCODING)
    known = ModelVocabulary(
        users=frozenset(encoding.query.vocabularies["user_id"].values),
        items=frozenset(encoding.item.vocabularies["item_id"].values),
        time_zone=encoding.time_zone,
    )
    brought = releases.refreshes()
    weights = brought.get(release, release)
    same = {weights, *(n for n, of in brought.items() if of == weights)}
    return LiveWeights(
        weights, releases.manifest(release)["trained_through"], known, frozenset(same)
    )


def reference_days(store: Store, live: LiveWeights, day: str, count: int) -> list[str]:
    """The last `count` recorded days that the live release was trained on, `day` not among them.

    Raises:
        MissingPartition: there is no such day.
    """
    first = (date.fromisoformat(live.trained_through) - timedelta(days=count - 1)).isoformat()
    table = store.table("interactions")
    days = [d for d in table.days() if first <= d <= live.trained_through and d < day]
    if not days:
        raise MissingPartition(table.name, live.trained_through, table.url)
    return days


def reference_traffic(store: Store, live: LiveWeights, days: list[str], day: str) -> Traffic:
    """The reference's days, with the scores and labels of the release's own days before `day`.

    A release has no scores or labels before it serves: its first days are their reference.

    Raises:
        MissingPartition: a table lacks a day of the reference.
    """
    recorded = recorded_traffic(store, days)
    answered = answered_traffic(store, live, day)
    return replace(recorded, scores=answered.scores, labels=answered.labels)


def answered_traffic(
    store: Store, live: LiveWeights, day: str, labelled_days: int = LABELLED_DAYS
) -> Traffic:
    """What is known of a release's answers before `day`, without requests and purchases.

    Scores are those of the first week that it served, of the last four; labels those of the last
    `labelled_days`.
    """
    labels = _of_release(store, OUTCOMES, _before(day, labelled_days), live, _LABEL_COLUMNS)
    answers = _of_release(store, REQUEST_LOG, _before(day, SERVED_DAYS), live, _SCORE_COLUMNS)
    return Traffic(
        pl.DataFrame(),
        pl.DataFrame(),
        no_scores() if answers is None else _first_days(answers),
        no_labels() if labels is None else labels_of(labels),
    )


def day_traffic(store: Store, live: LiveWeights, day: str) -> DayTraffic:
    """What was asked and bought on `day`, and the labels that became known on it.

    Requests of anonymous visitors are left out: the reference consists of known households.

    Raises:
        MissingPartition: `request_log`, `outcomes`, `interactions` or `item_features` lacks the
            day.
    """
    log = pl.DataFrame(store.table(REQUEST_LOG).read([day])).filter(pl.col("user_id") != "")
    answered = answered_requests(log)
    labels = pl.DataFrame(store.table(OUTCOMES).read([day], columns=_LABEL_COLUMNS))
    scored = _of(live, answered)
    traffic = Traffic(
        answered.drop(_NOT_FEATURES),
        purchases(store, [day]),
        scored.select(*SCORES_SCHEMA),
        labels_of(_of(live, labels)),
    )
    return DayTraffic(traffic, int(log["degraded"].sum()) / max(len(log), 1))


def _before(day: str, count: int) -> tuple[str, str]:
    """First day of the `count` days before `day`, and `day`."""
    return (date.fromisoformat(day) - timedelta(days=count)).isoformat(), day


def _of_release(
    store: Store, name: str, span: tuple[str, str], live: LiveWeights, columns: list[str]
) -> pl.DataFrame | None:
    """Rows of the release in those days of a span (its end excluded) that are there."""
    table = store.table(name)
    days = [day for day in table.days() if span[0] <= day < span[1]]
    if not days:
        return None
    rows = pl.DataFrame(table.read(days, columns=columns))
    return _of(live, rows).filter(pl.col("user_id") != "")


def _of(live: LiveWeights, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of answers that were given with the live weights."""
    return rows.filter(pl.col("release").is_in(list(live.releases)))


def _first_days(answers: pl.DataFrame) -> pl.DataFrame:
    answered = answered_requests(answers).select(*SCORES_SCHEMA)
    days = answered["day"].unique().sort().head(_SCORE_DAYS)
    return answered.filter(pl.col("day").is_in(days.to_list()))
