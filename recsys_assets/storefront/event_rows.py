"""Events as JSON objects, held against the data contract one by one.

Columns, types and rules are those of `events/contract.py` and `events/validation.py`, so that what
is accepted here is not quarantined later, with one exception: whether an item is in the catalogue
is left to the day's ingest, as a new product may sell before its catalogue arrives.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import DELIVERED_DAY, INTERACTIONS, MAX_ID_BYTES, SOURCE_FILE
from recsys_assets.events.validation import validate
from recsys_assets.storefront.bodies import UnusableValue, short

EVENT_ID = "event_id"
CLOCK_SKEW = timedelta(minutes=5)
"""How far a storefront's clock may be ahead."""

_TYPES = {column.name: column.type for column in INTERACTIONS.columns}
_REMEDY = {"event": "an object", EVENT_ID: f"a string of 1 to {MAX_ID_BYTES} bytes"}
# OSError: seconds that overflow the C library's calendar, such as nanoseconds given for seconds.
_INCONVERTIBLE = (TypeError, ValueError, OverflowError, OSError)


class UnusableEvent(UnusableValue):
    """Something that is no row of the contract at all."""


@dataclass(frozen=True)
class Event:
    """One event in the contract's columns; `made` says that its id was made here, not given."""

    event_id: str
    made: bool
    row: dict[str, Any]

    @classmethod
    def of(cls, given: object) -> "Event":
        """Of a JSON value.

        Raises:
            UnusableEvent: it is no object, or a field is unknown or not of its column's type.
        """
        if not isinstance(given, Mapping):
            raise UnusableEvent("not_an_object", "event", given, _REMEDY["event"])
        row = dict.fromkeys(INTERACTIONS.names)
        for name, value in given.items():
            if name == EVENT_ID:
                continue
            if name not in row:
                known = ", ".join((*INTERACTIONS.names, EVENT_ID))
                raise UnusableEvent("unknown_field", short(name), value, f"only {known}")
            row[name] = None if value is None else _typed(name, value)
        event_id = given.get(EVENT_ID)
        return cls(uuid4().hex if event_id is None else _id(event_id), event_id is None, row)

    @property
    def time(self) -> datetime | None:
        """When it happened, UTC."""
        return self.row["timestamp"]

    def row_as_json(self) -> str:
        """The row, to be read by `of`; the same for the same row."""
        given = {name: value for name, value in self.row.items() if value is not None}
        return json.dumps(given, default=datetime.isoformat, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """Short, and another one for another row."""
        return blake2b(self.row_as_json().encode(), digest_size=12).hexdigest()


def broken_rules(events: Sequence[Event], now: datetime) -> dict[int, str]:
    """What speaks against events: by position, reasons as in quarantine, comma-separated.

    Args:
        events: any.
        now: nothing can have happened more than `CLOCK_SKEW` after it.
    """
    places: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        places.setdefault(event.row_as_json(), []).append(place)
    if not places:
        return {}
    different = list(places.values())
    latest = now + CLOCK_SKEW
    rows = _as_delivered([events[same[0]] for same in different], latest)
    days = {latest.date(), *(event.time.date() for event in events if event.time)}
    bad = validate(rows, days, rows["item_id"], latest).quarantined
    return {
        place: reason
        for number, reason in bad.select(SOURCE_FILE, "reason").iter_rows()
        for place in different[int(number)]
    }


def shared_ids(events: Sequence[Event]) -> set[str]:
    """Ids that different rows have: an id tells a repetition, so it can be of one row only."""
    digests: dict[str, set[str]] = {}
    for event in events:
        if not event.made:
            digests.setdefault(event.event_id, set()).add(event.digest)
    return {event_id for event_id, found in digests.items() if len(found) > 1}


def as_table(events: Sequence[Event]) -> pa.Table:
    """Rows in the contract's columns, types and order."""
    return pa.Table.from_pylist([event.row for event in events], schema=INTERACTIONS.schema)


def _as_delivered(events: Sequence[Event], latest: datetime) -> pl.DataFrame:
    """Rows as a source hands them over, each with its number in place of a file's name."""
    rows = pl.DataFrame(pl.from_arrow(as_table(events)))
    numbers = [str(number) for number in range(len(events))]
    return rows.with_columns(
        pl.Series(SOURCE_FILE, numbers), pl.lit(latest.date()).alias(DELIVERED_DAY)
    )


def _typed(name: str, value: object) -> Any:
    kind = _TYPES[name]
    remedy, convert = next((how, to) for fits, how, to in _CONVERSIONS if fits(kind))
    try:
        return convert(value)
    except _INCONVERTIBLE:
        raise UnusableEvent(f"unusable_{name}", name, value, remedy) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half a surrogate pair is JSON, but no text
    return value


def _time(value: object) -> datetime:
    """Also of epoch seconds; UTC where no zone is given."""
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.fromtimestamp(_number(value), UTC)


def _whole(value: object) -> int:
    number = value if type(value) is int else _number(value)
    if number != int(number) or not -(2**63) <= number < 2**63:
        raise ValueError
    return int(number)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _id(value: object) -> str:
    try:
        text = _text(value)
    except (TypeError, ValueError):
        text = ""
    if not 0 < len(text.encode()) <= MAX_ID_BYTES:
        raise UnusableEvent("unusable_event_id", EVENT_ID, value, _REMEDY[EVENT_ID])
    return text


_CONVERSIONS: tuple[tuple[Callable[[pa.DataType], bool], str, Callable[[object], Any]], ...] = (
    (pa.types.is_string, "a string", _text),
    (pa.types.is_timestamp, "ISO 8601 with a zone, or seconds since 1970", _time),
    (pa.types.is_integer, "a whole number", _whole),
    (pa.types.is_floating, "a number", _number),
)
