"""A batch of the stream as Parquet objects: what each entry is, and where it goes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from json import JSONDecodeError, loads

import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.events.contract import INTERACTIONS, QUARANTINED_ROWS
from recsys_assets.storage import write_atomically
from recsys_assets.storefront.event_rows import EVENT_ID, Event, UnusableEvent, as_table
from recsys_assets.storefront.event_stream import Batch, EventEntry, Landed

QUARANTINE = "quarantined_events"
_SHARED_ID = "shared_event_id: another event had this id before; give each event its own"
_LOG = logging.getLogger(__name__)


@dataclass
class Contents:
    """What a batch holds.

    Attributes:
        by_day: events by the UTC day on which they happened, in the stream's order.
        quarantined: entries that are no events, or other events than those that have their ids,
            with the reason.
        repeated: how many were dropped, as the same event had come before.
        named: ids that callers gave, with their events' places in the stream and digests.
    """

    by_day: dict[date, list[Event]] = field(default_factory=dict)
    quarantined: list[tuple[EventEntry, str]] = field(default_factory=list)
    repeated: int = 0
    named: dict[str, Landed] = field(default_factory=dict)


def read(entries: Sequence[EventEntry], landed_before: Mapping[str, Landed]) -> Contents:
    """Sorts the entries of a batch.

    Args:
        entries: in the stream's order.
        landed_before: ids of events that are in a file already.
    """
    contents, known = Contents(), dict(landed_before)
    for entry in entries:
        try:
            event, day = _event(entry)
        except UnusableEvent as error:
            contents.quarantined.append((entry, f"{error.reason}: {error}"))
            continue
        landed = Landed(entry.place, event.digest)
        first = known.setdefault(event.event_id, landed)
        if first.digest != landed.digest:
            contents.quarantined.append((entry, _SHARED_ID))
        elif first.place != landed.place:
            contents.repeated += 1
        else:
            contents.by_day.setdefault(day, []).append(event)
            if entry.is_named:
                contents.named[event.event_id] = landed
    return contents


def write(url: str, batch: Batch, contents: Contents) -> None:
    """Writes one object a day, and one of what is quarantined; the same for the same batch.

    Raises:
        OSError: the storage does not take them; some may be written.
    """
    for day, events in sorted(contents.by_day.items()):
        _write_object(f"{url}/{INTERACTIONS.table}", day, batch.name, as_table(events))
    if contents.quarantined:
        _LOG.warning("%d entries of %s are quarantined", len(contents.quarantined), batch.name)
        rows = [
            {"id": entry.event_id, "reason": reason, "row": entry.as_text()}
            for entry, reason in contents.quarantined
        ]
        table = pa.Table.from_pylist(rows, schema=QUARANTINED_ROWS.schema)
        _write_object(f"{url}/{QUARANTINE}", batch.day, batch.name, table)


def _event(entry: EventEntry) -> tuple[Event, date]:
    row = entry.row
    try:
        given = loads(row)
    except (JSONDecodeError, RecursionError):
        raise UnusableEvent("not_json", "row", row, "the row as JSON") from None
    if not isinstance(given, dict):
        raise UnusableEvent("not_an_object", "row", row, "the row as a JSON object")
    event = Event.of({**given, EVENT_ID: entry.event_id})
    if event.time is None:
        raise UnusableEvent("missing_timestamp", "timestamp", None, "when it happened")
    return event, event.time.date()


def _write_object(folder: str, day: date, name: str, rows: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    write_atomically(
        f"{folder}/day={day.isoformat()}/events-{name}.parquet", sink.getvalue().to_pybytes()
    )
