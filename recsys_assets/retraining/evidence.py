"""What sensors have seen: the newest report of each day, and the trainings that were started.

A report is a materialization of `drift_report` or `business_metrics`, read from its metadata. What
belongs here: collecting it. What follows from it is decided in `policy.py`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from recsys_assets.monitoring.thresholds import ALARMING, TOO_FEW

# What a cursor keeps; cool-downs and windows of days are far shorter.
_DAYS_KEPT = 30


class UnreadableReport(ValueError):
    """A report lacks what sensors decide by; the message names the report and the field."""


@dataclass(frozen=True)
class Report:
    """One materialization of a monitoring asset.

    `event` is the storage id of the materialization: of two reports of a day, the higher one was
    measured later, whatever the clock said. `day` is the partition, `state` one of "ok",
    "too_few_samples" and those that alarm, `live_release` the release that it is about, and
    `cause` that of the alert on top, or "". A `correction` was measured as rows came late, or
    were put right.
    """

    day: str
    event: int
    state: str
    live_release: int
    cause: str
    correction: bool = False

    @property
    def alarming(self) -> bool:
        """Whether the day crossed a threshold."""
        return self.state in ALARMING

    @property
    def telling(self) -> bool:
        """Whether there was enough to measure; else it says nothing, not even about a release."""
        return self.state != TOO_FEW

    @classmethod
    def read(cls, event: int, day: str | None, metadata: Mapping[str, Any]) -> "Report":
        """From a materialization's storage id, partition and metadata values.

        Raises:
            UnreadableReport: the partition, the state or the release is missing.
        """
        missing = [name for name in ("state", "live_release") if name not in metadata]
        if day is None or missing:
            what = "no partition" if day is None else f"no metadata {', '.join(missing)}"
            raise UnreadableReport(
                f"the report of event {event} (day {day}) has {what}: materialize it again"
            )
        return cls(
            day=day,
            event=event,
            state=str(metadata["state"]),
            live_release=int(metadata["live_release"]),
            cause=str(metadata.get("cause") or _first_cause(metadata.get("alerts"))),
            correction=bool(metadata.get("correction", False)),
        )

    def after(self, earlier: "Report") -> "Report":
        """As the newest of its day: a correction that says the same is no other event to act on.

        Late rows come every night, and a day whose drift was answered stays as drifted.
        """
        same = (self.state, self.live_release) == (earlier.state, earlier.live_release)
        return replace(self, event=earlier.event) if self.correction and same else self


def _first_cause(alerts: Any) -> str:
    """The cause of the alert on top, of reports that name none themselves."""
    return str(alerts[0].get("cause", "")) if isinstance(alerts, list) and alerts else ""


@dataclass(frozen=True)
class Evidence:
    """The newest report of each day, in order of days: a sensor's cursor.

    `seen` is the highest storage id read so far, and `first_day` the first day ever reported.
    """

    seen: int = 0
    first_day: str = ""
    reports: tuple[Report, ...] = ()

    @property
    def newest(self) -> Report | None:
        """The report of the newest day."""
        return self.reports[-1] if self.reports else None

    @property
    def newest_telling(self) -> Report | None:
        """The report of the newest day that had enough samples."""
        return next((report for report in reversed(self.reports) if report.telling), None)

    def with_reports(self, reports: Iterable[Report]) -> "Evidence":
        """With further reports, in any order; one that is known already changes nothing."""
        by_day = {report.day: report for report in self.reports}
        seen = self.seen
        for report in sorted(reports, key=lambda report: report.event):
            seen = max(seen, report.event)
            known = by_day.get(report.day)
            if known is None or known.event < report.event:
                by_day[report.day] = report if known is None else report.after(known)
        days = sorted(by_day)
        first_day = min((day for day in (self.first_day, *days[:1]) if day), default="")
        return Evidence(seen, first_day, tuple(by_day[day] for day in days))

    def to_json(self) -> str:
        """As a cursor."""
        reports = [astuple(report) for report in self.reports[-_DAYS_KEPT:]]
        return json.dumps({"seen": self.seen, "first_day": self.first_day, "reports": reports})

    @classmethod
    def from_json(cls, cursor: str | None) -> "Evidence":
        """From a cursor; a sensor that has none yet knows nothing, and reads everything."""
        if not cursor:
            return cls()
        stored = json.loads(cursor)
        reports = tuple(Report(*report) for report in stored["reports"])
        return cls(stored["seen"], stored["first_day"], reports)


@dataclass(frozen=True)
class Training:
    """A run that fine-tunes or retrains: started by a sensor, or by hand.

    `ongoing` until it has ended for good, a retry included. It was `judged` if it got as far as a
    candidate that the gate has ruled on, whichever way; one that crashed was not. `day` is its
    partition ("" if it has none), `report` the storage id of the report that it acts on.
    """

    job: str
    day: str
    requested_by: str
    report: int | None
    ongoing: bool
    judged: bool


@dataclass(frozen=True)
class JudgedCandidate:
    """A release candidate that the gate has ruled on."""

    event: int
    better: bool
    full_retrain: bool
