"""Changes of the live release: which release, in place of which, when, why, and by whom.

    releases/promoted.json         the last change: the release that is live
             events/00000007.json  every change, by its number
             rejected/<n>          why a release is not to be promoted

A change is written among the events first; replacing `promoted.json` makes it true. A kill in
between leaves an event that never happened: its number is higher than that of the last change, so
it is not shown, and the next change takes its place. Numbers order the events, not clocks.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from recsys_assets.storage.filesystem import children, read_bytes, write_atomically

_POINTER = "promoted.json"
_EVENTS = "events"
_REJECTED = "rejected"
_REMEMBERED = 50

Action = Literal["promoted", "rolled back"]


@dataclass(frozen=True)
class Reason:
    """Why something was done, and who or what did it: a person, a sensor, a run."""

    cause: str
    by: str


UNRECORDED = Reason("not recorded", "not recorded")


@dataclass(frozen=True)
class Promoted:
    """A change of the live release; the last one says which release is live.

    Attributes:
        release: what is live from then on.
        before: what was promoted before it, oldest first: a rollback goes back to the last.
        promoted_at: ISO 8601, UTC.
        cause: why.
        by: who or what did it.
        action: whether it was a step forward or back.
        number: 1, 2, ... over all changes; 0 for one of a store that did not count them yet.
        replaced: what was live until then.
    """

    release: int
    before: tuple[int, ...]
    promoted_at: str
    cause: str = UNRECORDED.cause
    by: str = UNRECORDED.by
    action: Action = "promoted"
    number: int = 0
    replaced: int | None = None

    @property
    def previous(self) -> int | None:
        """What a rollback goes back to."""
        return self.before[-1] if self.before else None

    def as_metadata(self) -> dict[str, int | str]:
        """What the asset graph shows of the change."""
        return {
            "release": self.release,
            "previous": "none" if self.previous is None else self.previous,
            "replaced": "none" if self.replaced is None else self.replaced,
            "promoted_at": self.promoted_at,
            "action": self.action,
            "cause": self.cause,
            "by": self.by,
            "change": self.number,
        }


def last_change(url: str) -> Promoted | None:
    """The change that is in force under the releases' folder, or None before the first."""
    data = read_bytes(f"{url}/{_POINTER}")
    return None if data is None else _parsed(data)


def record_change(
    url: str, release: int, before: tuple[int, ...], reason: Reason, action: Action
) -> Promoted:
    """Makes `release` the live one for everybody who reads the store."""
    last = last_change(url)
    change = Promoted(
        release=release,
        before=before[-_REMEMBERED:],
        promoted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cause=reason.cause,
        by=reason.by,
        action=action,
        number=last.number + 1 if last else 1,
        replaced=last.release if last else None,
    )
    data = json.dumps(asdict(change)).encode()
    write_atomically(f"{url}/{_EVENTS}/{change.number:08d}.json", data)
    write_atomically(f"{url}/{_POINTER}", data)
    return change


def changes(url: str) -> list[Promoted]:
    """All changes, from the first to the one in force."""
    last = last_change(url)
    if last is None:
        return []
    names = [name for name in children(f"{url}/{_EVENTS}") if name[0].isdecimal()]
    found = [_parsed(read_bytes(f"{url}/{_EVENTS}/{name}") or b"") for name in names]
    counted = [change for change in found if change.number <= last.number]
    return counted if last.number else [last]


def write_rejection(url: str, release: int, reason: str) -> None:
    """Says that a release is not to be promoted, and why."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"release": release, "reason": reason, "rejected_at": now}
    write_atomically(f"{url}/{_REJECTED}/{release}", json.dumps(record).encode())


def read_rejection(url: str, release: int) -> str | None:
    """Why a release is not to be promoted; None if nothing speaks against it."""
    data = read_bytes(f"{url}/{_REJECTED}/{release}")
    return None if data is None else str(json.loads(data)["reason"])


def _parsed(data: bytes) -> Promoted:
    record = json.loads(data)
    return Promoted(**{**record, "before": tuple(record["before"])})
