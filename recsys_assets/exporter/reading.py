"""What the store says of releases, reports and data, in about ten requests.

Of every table the newest partition is read and no other; a release's manifest is read once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from recsys_assets.monitoring.answer_parts import AnswerParts
from recsys_assets.monitoring.thresholds import ALARMING
from recsys_assets.releases.release import Releases
from recsys_assets.releases.release_events import UnreadableRecord
from recsys_assets.retraining.alerts import raised_alerts
from recsys_assets.settings.days import midnight
from recsys_assets.storage import Store, Table
from recsys_assets.storage.filesystem import children, exists

_DAY = "day="
_PSI = "psi"
# What is there and does not hold what it should: other than JSON or Parquet, a field missing.
_UNREADABLE = (ValueError, LookupError, TypeError, OSError, UnreadableRecord)


class StoreAway(OSError):
    """The store does not answer, or is not there."""


@dataclass(frozen=True)
class ReleaseFacts:
    """The release that should answer; 0 everywhere before the first promotion.

    `promoted_at`, and the last days of its training and of its data (`trained_through` and
    `data_through`, the midnight that begins the day), are seconds since the epoch.
    """

    number: int = 0
    promoted_at: float = 0.0
    trained_through: float = 0.0
    data_through: float = 0.0


@dataclass(frozen=True)
class ReportFacts:
    """The newest report; `day` is 0 before the first. `psi` is by feature, of drift alone."""

    day: float = 0.0
    alarming: bool = False
    psi: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """All of it.

    `answers` left the online store and are in no partition yet; `alerts` says when the last alert
    of each kind was raised.
    """

    release: ReleaseFacts = ReleaseFacts()
    drift: ReportFacts = ReportFacts()
    business: ReportFacts = ReportFacts()
    interactions: float = 0.0
    answers: int = 0
    alerts: dict[str, float] = field(default_factory=dict)


PARTS = tuple(part.name for part in fields(Facts))


class StoreReader:
    """Reads a store again and again; what could not be read stays as it was."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._facts = Facts()
        self._release_read = ReleaseFacts()

    def read(self) -> tuple[Facts, dict[str, str]]:
        """The facts, and by part of them why it could not be read.

        Raises:
            StoreAway: the store does not answer, or is not there.
        """
        self._look_for_store()
        parts: dict[str, Callable[[], Any]] = {
            "release": self._release,
            "drift": self._drift,
            "business": self._business,
            "interactions": self._interactions,
            "answers": lambda: AnswerParts(self._store).waiting().total(),
            "alerts": self._alerts,
        }
        unread: dict[str, str] = {}
        for name, part in parts.items():
            try:
                self._facts = replace(self._facts, **{name: part()})
            except _UNREADABLE as error:
                unread[name] = f"{type(error).__name__}: {error}"
        if unread:
            self._look_for_store()  # it may have gone meanwhile
        return self._facts, unread

    def _look_for_store(self) -> None:
        url = self._store.url
        try:
            there = exists(url)
        except OSError as error:
            raise StoreAway(f"the store {url} (RECSYS_STORAGE) does not answer: {error}") from error
        if not there:
            raise StoreAway(
                f"the store {url} (RECSYS_STORAGE) is not there: nothing was written to it yet, "
                "or it is not mounted"
            )

    def _release(self) -> ReleaseFacts:
        releases = Releases(self._store)
        promoted = releases.promoted()
        if promoted is None:
            return ReleaseFacts()
        at = datetime.fromisoformat(promoted.promoted_at).timestamp()
        if self._release_read.number != promoted.release:
            manifest = releases.manifest(promoted.release)
            named = (manifest[name] for name in ("trained_through", "item_features_day"))
            days = (midnight(day).timestamp() for day in named)
            self._release_read = ReleaseFacts(promoted.release, at, *days)
        return replace(self._release_read, promoted_at=at)

    def _drift(self) -> ReportFacts:
        table = self._store.table("drift_report")
        day = _newest_day(table)
        if day is None:
            return ReportFacts()
        row = table.read([day], columns=["state", "measurements"]).to_pylist()[0]
        psi = {one["name"]: one["value"] for one in row["measurements"] if one["statistic"] == _PSI}
        return ReportFacts(midnight(day).timestamp(), row["state"] in ALARMING, psi)

    def _business(self) -> ReportFacts:
        table = self._store.table("business_metrics")
        day = _newest_day(table)
        if day is None:
            return ReportFacts()
        (state,) = table.read([day], columns=["state"])["state"].to_pylist()
        return ReportFacts(midnight(day).timestamp(), state in ALARMING)

    def _interactions(self) -> float:
        day = _newest_day(self._store.table("interactions"))
        return 0.0 if day is None else midnight(day).timestamp()

    def _alerts(self) -> dict[str, float]:
        return {one.kind: one.at.timestamp() for one in raised_alerts(self._store)}


def _newest_day(table: Table) -> str | None:
    """The last day with a partition: one listing, and one question for each empty folder."""
    names = [name for name in children(table.url) if name.startswith(_DAY)]
    days = (name.removeprefix(_DAY) for name in reversed(names))
    return next((day for day in days if table.has(day)), None)
