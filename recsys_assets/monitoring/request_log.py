"""From the stream of answers to daily Parquet: table `request_log`, one row an answer.

Delivery is at least once, so an answer may be in the stream twice, or again after its partition
was written: what tells answers apart is the request id. The stream is cut last, and only by what
the visible partition holds, so a crash anywhere leaves every answer in one of the two, and the
next run tidies up. Answers belong to the UTC day of their request's `timestamp`, whenever they
were given and however the server's clock was set; one that comes late joins its day when that day
is collected again.

An entry that cannot be read goes to `request_log_rejected`, in the partition of the day being
collected, with its reason and all its fields in base64.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import redis

from recsys_assets.features.attributes import user_columns
from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.monitoring.answer_stream import Batch, Entry
from recsys_assets.monitoring.answer_table import COLUMNS, LoggedAnswer, answer_table
from recsys_assets.serving.release import MissingRelease, Releases
from recsys_assets.serving.repository import item_ids
from recsys_assets.serving.request_log import STREAM
from recsys_assets.settings import WAIT_SECONDS
from recsys_assets.storage import Store
from recsys_assets.storage.lease import Lease, LeaseLost, held
from recsys_assets.waiting import WaitedTooLong

__all__ = ["COLUMNS", "REJECTED", "TABLE", "Collected", "CollectionBusy", "collect", "schema"]

TABLE = "request_log"
REJECTED = "request_log_rejected"
_REJECTED_SCHEMA = pa.schema(
    [("entry_id", pa.string()), ("reason", pa.string()), ("entry", pa.string())]
)
_LOCK = f"{STREAM}:collecting"
_LEASE_SECONDS = 60.0  # a killed run holds up the next one for no longer


class CollectionBusy(RuntimeError):
    """Another run collects, or took over as this one stood still."""


@dataclass(frozen=True)
class Collected:
    """What became of the stream's entries.

    `rows` are in the partition now, `new` of them came this time. `duplicates` and `rejected`
    were removed from the stream; `waiting` ones stay there, as they belong to other days.
    `unknown_columns` were logged by a release but are no online features any more: not kept.
    """

    rows: int
    new: int
    duplicates: int
    rejected: int
    waiting: int
    unknown_columns: tuple[str, ...]


def schema(store: Store) -> pa.Schema:
    """Columns of `request_log`: those of every answer, then each online feature of a user.

    Raises:
        MissingPartition: `users` has not been materialized.
        ValueError: an attribute of users has the name of another column.
    """
    names = user_columns(store)
    taken = sorted(set(names) & set(COLUMNS.names))
    if taken:
        raise ValueError(
            f"table 'users' has the attribute {taken[0]!r}, which is a column of {TABLE!r}: "
            "rename it in the source"
        )
    return with_features(names)


def with_features(names: Iterable[str]) -> pa.Schema:
    """Columns of every answer, then those of the named user features: text or double."""
    types = {"string": pa.string(), "int64": pa.float64(), "float64": pa.float64()}
    declared = USER_FEATURES.columns
    features = [pa.field(name, types[declared.get(name, "string")]) for name in names]
    return pa.schema([*COLUMNS, *features])


def collect(
    client: redis.Redis,
    store: Store,
    releases: Releases,
    day: str,
    wait_seconds: float = WAIT_SECONDS,
) -> Collected:
    """Moves the answers to requests of `day` (YYYY-MM-DD) from the stream to their partition.

    What the partition holds already stays. Without any answer an empty partition is written.

    Args:
        client: of the store with the stream, with patient timeouts.
        store: receives `request_log[day]`, and `request_log_rejected[day]` if anything is wrong.
        releases: where the item ids of the logged rows are.
        day: UTC day of the requests.
        wait_seconds: how long another run that collects is waited for.

    Raises:
        CollectionBusy: another run has been collecting for too long, or this one stood still.
        redis.RedisError: the store does not answer; nothing is lost, run again.
    """
    try:
        with held(client, _LOCK, _LEASE_SECONDS, wait_seconds) as lease:
            return _collect(client, store, releases, day, lease)
    except (WaitedTooLong, LeaseLost) as error:
        raise CollectionBusy(
            f"{TABLE} {day} was not collected: {error}. Nothing is lost, materialize it again"
        ) from error


def _collect(
    client: redis.Redis, store: Store, releases: Releases, day: str, lease: Lease
) -> Collected:
    batch = Batch.read(client, day)
    columns = schema(store)
    table, existing = store.table(TABLE), None
    if table.has(day):
        existing = table.read([day])
    batch.drop_duplicates(existing)
    fresh, unknown = _resolve(batch, releases, columns)
    rows = _merge(existing, fresh, columns)
    lease.require()
    table.write(rows, day)
    _write_rejected(store, day, batch.rejected)
    lease.require()
    batch.remove(client)
    return Collected(
        rows=rows.num_rows,
        new=fresh.num_rows,
        duplicates=batch.duplicates,
        rejected=len(batch.rejected),
        waiting=batch.waiting,
        unknown_columns=unknown,
    )


def _resolve(
    batch: Batch, releases: Releases, columns: pa.Schema
) -> tuple[pa.Table, tuple[str, ...]]:
    """The answers as rows of the table, and the context columns that it does not have."""
    is_text = {field.name: pa.types.is_string(field.type) for field in columns}
    unknown: set[str] = set()
    parts = [columns.empty_table()]
    for release in sorted({entry.logged.answer.release for entry in batch.answers}):
        of_release = [entry for entry in batch.answers if entry.logged.answer.release == release]
        try:
            ids = pa.array(item_ids(releases.fetch(release), release), pa.string())
        except MissingRelease as error:
            for entry in of_release:
                batch.reject(entry.entry_id, entry.fields, str(error))
            continue
        sound = list(_sound(batch, of_release, len(ids), is_text))
        unknown.update(name for logged in sound for name in logged.features)
        parts.append(answer_table(sound, ids, columns))
    return pa.concat_tables(parts), tuple(sorted(unknown - set(is_text)))


def _sound(
    batch: Batch, entries: Sequence[Entry], items: int, is_text: Mapping[str, bool]
) -> Iterator[LoggedAnswer]:
    """Answers that fit their release and the table; the others are rejected."""
    for entry in entries:
        fault = _fault(entry.logged, items, is_text)
        if fault:
            batch.reject(entry.entry_id, entry.fields, fault)
        else:
            yield entry.logged


def _fault(logged: LoggedAnswer, items: int, is_text: Mapping[str, bool]) -> str:
    rows: np.ndarray = logged.answer.rows
    if len(rows) and not 0 <= rows.min() <= rows.max() < items:
        return f"rows point beyond the {items} items of release {logged.answer.release}"
    for name, value in logged.features.items():
        if name in is_text and isinstance(value, str) != is_text[name]:
            kind = "text" if is_text[name] else "number"
            return f"context column {name!r} is {value!r}: {kind} expected"
    return ""


def _merge(existing: pa.Table | None, fresh: pa.Table, columns: pa.Schema) -> pa.Table:
    """One partition in the order of the requests; columns that are gone stay where they were."""
    if existing is None:
        rows = fresh
    else:
        rows = pa.concat_tables([existing, fresh], promote_options="default")
        former = [name for name in existing.column_names if name not in columns.names]
        rows = rows.select([*columns.names, *former])
    return rows.sort_by([("timestamp", "ascending"), ("request_id", "ascending")])


def _write_rejected(store: Store, day: str, rejected: list[dict[str, str]]) -> None:
    """Adds to the day's rejected entries; one that is there from an earlier try is not doubled."""
    table = store.table(REJECTED)
    known = table.read([day]).to_pylist() if table.has(day) else []
    seen = {row["entry_id"] for row in known}
    fresh = [row for row in rejected if row["entry_id"] not in seen]
    if fresh:
        table.write(pa.Table.from_pylist(known + fresh, schema=_REJECTED_SCHEMA), day)
