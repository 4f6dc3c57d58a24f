"""Which days have to be computed again: a late file, or a correction, has changed what they read.

Known from reports alone, the materializations of `interactions` and of what is derived from them.
A day's events may change what is derived of any later day: they stay in windows for weeks, and a
first sale or a first purchase for ever. So from the first day that is out of date on all are.

The same events delivered again change nothing: a report names the content of its day.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from typing import Any


@dataclass(frozen=True)
class IngestedDay:
    """One materialization of a day of `interactions`.

    Attributes:
        event: its storage id; of two, the higher one is the later.
        day: YYYY-MM-DD.
        content: names the rows; "" where the report does not say.
        late: days before it of which rows were delivered with it, that they do not hold yet.
    """

    event: int
    day: str
    content: str
    late: tuple[str, ...]

    @classmethod
    def read(cls, event: int, day: str, metadata: Mapping[str, Any]) -> "IngestedDay":
        """From a materialization's storage id, partition and metadata values."""
        late = tuple(metadata.get("rows_for_earlier_days") or ())
        return cls(event, day, str(metadata.get("content", "")), late)


@dataclass(frozen=True)
class KnownDay:
    """What is known of a day's events: their content, when it changed and when it was written."""

    content: str
    changed: int
    written: int


@dataclass(frozen=True)
class Correction:
    """Days to compute again, both included; with `ingest`, their events are read again as well.

    `cause` is the event that made it necessary, `stale` the derived assets that are out of date.
    """

    first: str
    last: str
    ingest: bool
    cause: int
    stale: frozenset[str]


@dataclass(frozen=True)
class Corrections:
    """All that reports have said so far: a sensor's cursor.

    Attributes:
        seen: storage id of the last report.
        days: of each day of events.
        late: days of which rows are waiting, each with the event that has found them.
    """

    seen: int = 0
    days: Mapping[str, KnownDay] = field(default_factory=dict)
    late: Mapping[str, int] = field(default_factory=dict)

    def with_reports(self, reports: Iterable[IngestedDay]) -> "Corrections":
        """With further reports, in any order; one that is known already changes nothing."""
        days, late, seen = dict(self.days), dict(self.late), self.seen
        for report in sorted(reports, key=lambda report: report.event):
            seen, before = max(seen, report.event), days.get(report.day)
            late |= {day: max(report.event, late.get(day, 0)) for day in report.late}
            if before is None:
                days[report.day] = KnownDay(report.content, report.event, report.event)
            elif report.event > before.written:
                same = before.content in ("", report.content)
                changed = before.changed if same else report.event
                days[report.day] = KnownDay(report.content, changed, report.event)
        # A day that was never read, such as one before history, is not waited for.
        waiting = {d: event for d, event in late.items() if d in days and days[d].written < event}
        return Corrections(seen, days, waiting)

    def due(self, derived: Mapping[str, Mapping[str, int]]) -> Correction | None:
        """What to compute again, late rows first; None if nothing is out of date.

        Args:
            derived: of each derived asset, the days that are computed, with the storage id of
                their latest materialization.
        """
        if self.late:
            first, cause = min(self.late), max(self.late.values())
            return Correction(first, max(self.days), True, cause, frozenset(derived))
        looked = {name: self._first_stale(computed) for name, computed in derived.items()}
        stale = {name: day for name, day in looked.items() if day is not None}
        if not stale:
            return None
        first = min(stale.values())
        cause = max(day.changed for day in self.days.values())
        return Correction(first, max(self.days), False, cause, frozenset(stale))

    def _first_stale(self, computed: Mapping[str, int]) -> str | None:
        """The first day computed before events of its own or an earlier day changed."""
        changed = 0
        for day in sorted({*self.days, *computed}):
            changed = max(changed, self.days[day].changed if day in self.days else 0)
            if computed.get(day, changed) < changed:
                return day
        return None

    def to_json(self) -> str:
        """As a cursor."""
        days = {day: astuple(known) for day, known in self.days.items()}
        return json.dumps({"seen": self.seen, "days": days, "late": self.late})

    @classmethod
    def from_json(cls, cursor: str | None) -> "Corrections":
        """From a cursor; a sensor that has none yet knows nothing, and reads everything."""
        if not cursor:
            return cls()
        stored = json.loads(cursor)
        days = {day: KnownDay(*known) for day, known in stored["days"].items()}
        return cls(stored["seen"], days, stored["late"])
