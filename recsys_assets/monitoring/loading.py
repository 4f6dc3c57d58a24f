"""Reads what a day's drift is measured on: the live release, its reference, the day itself.

Of a day with more answers than figures need, sessions are drawn. Such a day is read in parts, and
never held as a whole.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import polars as pl
import pyarrow as pa

from recsys_assets.features.encoding import ModelEncoding
from recsys_assets.monitoring.answer_parts import schema_of
from recsys_assets.monitoring.answer_table import COLUMNS
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
from recsys_assets.storage import MissingPartition, Store, Table

REQUEST_LOG, OUTCOMES = "request_log", "outcomes"
_ENCODING = "encoding.json"
SERVED_DAYS = 28  # how far back a release's own earlier answers are looked for
_SCORE_DAYS = 7  # of them, the first: a whole week, which later ones are compared with
LABELLED_DAYS = 14
_SCORE_COLUMNS = [*ANSWER_KEYS, "release", "answered_at", "degraded", "candidate_scores"]
ANSWERS = 50_000
"""Answers of a day that are looked at: 300 bootstrap draws of their households are 120 MB."""
_HASHES = 2**64
_LABEL_COLUMNS = ["release", "user_id", "timestamp", "degraded", "auc", "scores", "purchased"]
_NOT_FEATURES = ("release", "answered_at", "degraded", "candidate_scores")
_NOT_LOOKED_AT = {*COLUMNS.names} - {*_SCORE_COLUMNS}  # of an answer; all else are features


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
    """The traffic of one day.

    Attributes:
        traffic: without degraded answers.
        degraded: their share.
        looked_at: share of its sessions that were drawn.
    """

    traffic: Traffic
    degraded: float
    looked_at: float


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
    labelled = _days(store, OUTCOMES, day, labelled_days)
    labels = [
        labels_of(_of_release(store, OUTCOMES, one, live, ANSWERS // labelled_days, _LABEL_COLUMNS))
        for one in labelled
    ]
    return Traffic(
        pl.DataFrame(),
        pl.DataFrame(),
        _first_scores(store, live, _days(store, REQUEST_LOG, day, SERVED_DAYS)),
        pl.concat([no_labels(), *labels]),
    )


def day_traffic(store: Store, live: LiveWeights, day: str) -> DayTraffic:
    """What was asked and bought on `day`, and the labels that became known on it.

    Requests of anonymous visitors are left out: the reference consists of known households.

    Raises:
        MissingPartition: `request_log`, `outcomes`, `interactions` or `item_features` lacks the
            day.
    """
    table = store.table(REQUEST_LOG)
    share = _share(table, day, ANSWERS)
    columns = [name for name in schema_of(table.path(day)).names if name not in _NOT_LOOKED_AT]
    log = _drawn(table, day, share, columns)
    answered = answered_requests(log)
    labels = _of_release(store, OUTCOMES, day, live, ANSWERS, _LABEL_COLUMNS)
    scored = _of(live, answered)
    traffic = Traffic(
        answered.drop(_NOT_FEATURES),
        purchases(store, [day]),
        scored.select(*SCORES_SCHEMA),
        labels_of(labels),
    )
    return DayTraffic(traffic, int(log["degraded"].sum()) / max(len(log), 1), share)


def _days(store: Store, name: str, day: str, count: int) -> list[str]:
    """Those of the `count` days before `day` that a table has."""
    first = (date.fromisoformat(day) - timedelta(days=count)).isoformat()
    return [one for one in store.table(name).days() if first <= one < day]


def _share(table: Table, day: str, answers: int) -> float:
    """Of a day's sessions, for so many of its answers; 1 if there are no more."""
    return min(1.0, answers / max(table.row_count([day]), 1))


def _drawn(table: Table, day: str, share: float, columns: list[str]) -> pl.DataFrame:
    """Answers to known households of a day, all that were given to a `share` of the sessions.

    The same answers give the same rows, in whichever order they are.
    """
    session = pl.struct("user_id", "timestamp").hash(date.fromisoformat(day).toordinal())
    drawn = session < int(share * _HASHES) if share < 1 else pl.lit(True)

    def keep(rows: pa.Table) -> pa.Table:
        return pl.DataFrame(rows).filter(drawn & (pl.col("user_id") != "")).to_arrow()

    return pl.DataFrame(table.read_kept(day, keep, columns))


def _of_release(
    store: Store, name: str, day: str, live: LiveWeights, answers: int, columns: list[str]
) -> pl.DataFrame:
    """A day's rows of the release, of as many sessions as have so many answers."""
    table = store.table(name)
    return _of(live, _drawn(table, day, _share(table, day, answers), columns))


def _of(live: LiveWeights, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of answers that were given with the live weights."""
    return rows.filter(pl.col("release").is_in(list(live.releases)))


def _first_scores(store: Store, live: LiveWeights, days: list[str]) -> pl.DataFrame:
    """Scores of the first days, of some ascending ones, on which the release has answered."""
    found: list[pl.DataFrame] = []
    for day in days:
        rows = _of_release(store, REQUEST_LOG, day, live, ANSWERS // _SCORE_DAYS, _SCORE_COLUMNS)
        scores = answered_requests(rows).select(*SCORES_SCHEMA)
        found += [scores] if len(scores) else []
        if len(found) == _SCORE_DAYS:
            break
    return pl.concat([no_scores(), *found])
