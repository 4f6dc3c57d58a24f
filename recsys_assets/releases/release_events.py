"""Changes of the live release: which release, in place of which, when, why, and by whom.

    releases/promoted.json         the last change: the release that is live
             events/00000007.json  every earlier change, by its number
             rejected/<n>          why a release is not to be promoted

Replacing `promoted.json` is all that makes a change, and it is replaced only if nobody has since it
was read: of two that change it at once one wins, and the other is told. What it held is put among
the events before that, so a kill at any point leaves a history that is complete and true. Numbers
order the events, not clocks.
"""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal

from recsys_assets.runtime.processes import ServiceError
from recsys_assets.storage.filesystem import (
    children,
    read_bytes,
    read_versioned,
    write_atomically,
    write_if_unchanged,
)

_POINTER = "promoted.json"
_EVENTS = "events"
_REJECTED = "rejected"
_REMEMBERED = 50
_READERS = 8

Action = Literal["promoted", "rolled back"]


@dataclass(frozen=True)
class Reason:
    """Why something was done, and who or what did it: a person, a sensor, a run."""

    cause: str
    by: str


class Anything:
    """Whatever change is in force."""


ANYTHING = Anything()
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
        token: tells this change from one of the same words in the same second.
    """

    release: int
    before: tuple[int, ...]
    promoted_at: str
    cause: str = UNRECORDED.cause
    by: str = UNRECORDED.by
    action: Action = "promoted"
    number: int = 0
    replaced: int | None = None
    token: str = ""

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


class ChangedMeanwhile(ServiceError):
    """Another change of the live release was recorded at the same time, and holds."""

    def __init__(self, url: str, release: int, found: Promoted | None) -> None:
        live = f"release {found.release} (by {found.by})" if found else "nothing"
        super().__init__(
            f"release {release} was not recorded as live at {url}: {live} has been made live "
            "meanwhile. Look at it, and begin anew"
        )
        self.found = found


class UnreadableRecord(ServiceError):
    """A record of releases that holds something else; nothing is made of it."""

    def __init__(self, url: str, error: Exception) -> None:
        super().__init__(
            f"{url} cannot be read ({error!r}): put back what it held. Of {_POINTER} the newest of "
            f"{_EVENTS}/ is the change before; copy it there, then promote what is to be live"
        )


def last_change(url: str) -> Promoted | None:
    """The change that is in force under the releases' folder, or None before the first.

    Raises:
        UnreadableRecord: the record is damaged.
    """
    data = read_bytes(f"{url}/{_POINTER}")
    return None if data is None else _parsed(f"{url}/{_POINTER}", data)


def record_change(
    url: str,
    release: int,
    before: tuple[int, ...],
    reason: Reason,
    action: Action,
    expected: Promoted | None | Anything = ANYTHING,
) -> Promoted:
    """Makes `release` the live one for everybody who reads the store.

    Args:
        url: folder of the releases.
        release: what is to be live.
        before: what was promoted before it, oldest first.
        reason: why, and who or what makes the change.
        action: whether it is a step forward or back.
        expected: the change that must be in force; None if none may be.

    Raises:
        ChangedMeanwhile: it is not, or another change has been made at the same time; nothing
            of this one is recorded.
        UnreadableRecord: the record in force is damaged.
    """
    found = read_versioned(f"{url}/{_POINTER}")
    last = None if found is None else _parsed(f"{url}/{_POINTER}", found[0])
    if not isinstance(expected, Anything) and last != expected:
        raise ChangedMeanwhile(url, release, last)
    change = Promoted(
        release=release,
        before=before[-_REMEMBERED:],
        promoted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cause=reason.cause,
        by=reason.by,
        action=action,
        number=last.number + 1 if last else 1,
        replaced=last.release if last else None,
        token=uuid.uuid4().hex,
    )
    if found is not None and last is not None and last.number:
        write_atomically(_event(url, last.number), found[0])
    version = None if found is None else found[1]
    data = json.dumps(asdict(change)).encode()
    written = write_if_unchanged(f"{url}/{_POINTER}", data, version)
    # The answer to our write may have been lost, and others have gone on from it since.
    if not written and change not in changes(url):
        raise ChangedMeanwhile(url, release, last_change(url))
    return change


def changes(url: str) -> list[Promoted]:
    """All changes, from the first to the one in force.

    Raises:
        UnreadableRecord: one of them is damaged.
    """
    last = last_change(url)
    if last is None or not last.number:
        return [] if last is None else [last]
    names = [name for name in children(f"{url}/{_EVENTS}") if name[0].isdecimal()]
    earlier = [
        f"{url}/{_EVENTS}/{name}" for name in names if int(name.partition(".")[0]) < last.number
    ]
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda event: _parsed(event, read_bytes(event) or b""), earlier)
        return [*found, last]


def write_rejection(url: str, release: int, reason: str) -> None:
    """Says that a release is not to be promoted, and why."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"release": release, "reason": reason, "rejected_at": now}
    write_atomically(f"{url}/{_REJECTED}/{release}", json.dumps(record).encode())


def read_rejection(url: str, release: int) -> str | None:
    """Why a release is not to be promoted; None if nothing speaks against it.

    Raises:
        UnreadableRecord: the reason is damaged.
    """
    record = f"{url}/{_REJECTED}/{release}"
    data = read_bytes(record)
    return None if data is None else str(_object(record, data, "reason")["reason"])


def _event(url: str, number: int) -> str:
    return f"{url}/{_EVENTS}/{number:08d}.json"


def _parsed(url: str, data: bytes) -> Promoted:
    """A change; what a later version has written beyond it is left alone."""
    record = _object(url, data, "release", "before", "promoted_at")
    known = {field.name: record[field.name] for field in fields(Promoted) if field.name in record}
    return Promoted(**{**known, "before": tuple(known["before"])})


def _object(url: str, data: bytes, *needed: str) -> dict[str, Any]:
    """A record as JSON, with what it must hold."""
    try:
        record = json.loads(data)
        return {**record, **{name: record[name] for name in needed}}
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableRecord(url, error) from error
