"""One pass over the days of a run: read, validate, write, and say what was found.

Beside them it keeps every item that was ever catalogued, with its categories. The catalogue holds
what is sold now. What is said of the past must not change with it: an event of a product that was
withdrawn since is no event of an unknown item, and counts in the category that the product was in
then. So the table `catalogue_history` only grows: a row for each item and day on which it, or a
change of what is kept of it, was first seen.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import (
    CATALOGUE_HISTORY,
    INTERACTIONS,
    LATE_DAYS,
    QUARANTINED_INTERACTIONS,
    BrokenInput,
    Contract,
)
from recsys_assets.events.sources import Source
from recsys_assets.events.validation import DAY, Validated, digest, reason_counts, validate
from recsys_assets.runtime.pace import Progress, silent
from recsys_assets.storage import Store

_DAYS_AT_ONCE = 31
"""Bounds the memory of a backfill: this many days are held at a time."""
_KEPT = CATALOGUE_HISTORY.names[2:]


@dataclass(frozen=True)
class DayReport:
    """What one day's partition holds, and what was kept out of it.

    `content` names its rows. `skipped` counts rows that keep the contract and are left out with
    their day; None elsewhere.
    """

    day: date
    content: str
    rows: int
    users: int
    items: int
    first_event: datetime | None
    last_event: datetime | None
    duplicates: int
    late: int
    quarantined: int
    reasons: dict[str, int]
    skipped: int | None = None


@dataclass
class IngestReport:
    """Reports of all days of a run, and what was found of the days before it.

    `out_of_date` says by how many rows they would differ if they were read again; `unreadable`
    why that cannot be said.
    """

    days: list[DayReport] = field(default_factory=list)
    out_of_date: dict[date, int] = field(default_factory=dict)
    unreadable: str | None = None


def ingest(
    source: Source,
    store: Store,
    days: Sequence[date],
    known_items: pl.Series,
    now: datetime,
    progress: Progress = silent,
    *,
    skipped: Collection[date] = (),
) -> IngestReport:
    """Writes the partitions of `interactions` and `quarantined_interactions` of the days.

    Each partition is replaced as a whole, so running a day again is harmless. Days without
    events get an empty partition, and so do the `skipped` ones, whose rows in quarantine are
    kept: they show what is wrong with the day. `progress` counts days.

    Raises:
        BrokenInput: a delivered file of the days cannot be used; those before it are written.
    """
    report = IngestReport()
    for some_days in _batches(sorted(days)):
        validated = validate(source.interactions(some_days), some_days, known_items, now)
        accepted = _by_day(validated.accepted)
        quarantined = _by_day(validated.quarantined)
        for day in some_days:
            good = accepted.get(day, validated.accepted.clear())
            bad = quarantined.get(day, validated.quarantined.clear())
            left_out = good.height if day in skipped else None
            good = good if left_out is None else good.clear()
            _write(store, INTERACTIONS, good, day)
            _write(store, QUARANTINED_INTERACTIONS, bad, day)
            report.days.append(replace(_describe(day, good, bad, validated), skipped=left_out))
            progress(len(report.days), len(days))
    try:
        report.out_of_date = out_of_date(
            source, store, min(days), known_items, now, skipped=skipped
        )
    except BrokenInput as error:  # of a day before, which is as it was
        report.unreadable = str(error)
    return report


def out_of_date(
    source: Source,
    store: Store,
    day: date,
    known_items: pl.Series,
    now: datetime,
    *,
    skipped: Collection[date] = (),
) -> dict[date, int]:
    """By how many rows the days before `day` would differ if they were read again.

    Late files are looked for as far back as they are taken, and so are files that were replaced
    and rows whose item has been catalogued since. A day of which no good row is delivered any
    more stays as it is, and so does one of the `skipped`: it is empty on purpose.

    Raises:
        BrokenInput: a file of those days cannot be used.
    """
    table = store.table(INTERACTIONS.table)
    before = [day - timedelta(days=ago) for ago in range(LATE_DAYS, 0, -1)]
    stored = [one for one in before if one not in skipped and table.has(one.isoformat())]
    if not stored:
        return {}
    read = _by_day(validate(source.interactions(stored), stored, known_items, now).accepted)
    found = {}
    for one, rows in sorted(read.items()):
        there = pl.DataFrame(table.read([one.isoformat()]))
        delivered = pl.DataFrame(_as_table(INTERACTIONS, rows))
        found[one] = _without(there, delivered).height + _without(delivered, there).height
    return {one: rows for one, rows in found.items() if rows}


def _without(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    return rows.join(others, on=rows.columns, how="anti", nulls_equal=True)


def _batches(days: list[date]) -> Iterator[list[date]]:
    for start in range(0, len(days), _DAYS_AT_ONCE):
        yield days[start : start + _DAYS_AT_ONCE]


def _by_day(rows: pl.DataFrame) -> dict[date, pl.DataFrame]:
    return {key[0]: part for key, part in rows.partition_by(DAY, as_dict=True).items()}


def _write(store: Store, contract: Contract, rows: pl.DataFrame, day: date) -> None:
    store.table(contract.table).write(_as_table(contract, rows), day.isoformat())


def _as_table(contract: Contract, rows: pl.DataFrame) -> pa.Table:
    return rows.select(contract.names).to_arrow().cast(contract.schema)


def _describe(day: date, good: pl.DataFrame, bad: pl.DataFrame, validated: Validated) -> DayReport:
    times = good["timestamp"].dt.convert_time_zone("UTC")
    return DayReport(
        day=day,
        content=digest(_as_table(INTERACTIONS, good)),
        rows=good.height,
        users=good["user_id"].n_unique(),
        items=good["item_id"].n_unique(),
        first_event=times[0] if good.height else None,
        last_event=times[-1] if good.height else None,
        duplicates=validated.duplicates.get(day, 0),
        late=validated.late.get(day, 0),
        quarantined=bad.height,
        reasons=reason_counts(bad),
    )


def record_catalogue(
    store: Store, items: pa.Table, today: date, withdrawn: pa.Table | None = None
) -> pa.Table:
    """Takes the catalogue of a day into the history; returns all of it.

    To be called before the table `items` is replaced: the catalogue that a history begins with is
    what is there already.

    Args:
        store: holds the tables.
        items: the catalogue, without repeated ids.
        today: the day on which it is seen.
        withdrawn: products that were withdrawn before any catalogue was seen. Of one that is in
            the history, or in the catalogue, that counts.
    """
    table = store.table(CATALOGUE_HISTORY.table)
    if table.has():
        history = pl.DataFrame(table.read())
    else:
        earlier = store.table("items")
        history = _seen(earlier.read() if earlier.has() else items.slice(0, 0), today)
    grown = _extended(history, _seen(items, today))
    if withdrawn is not None:
        before = _seen(withdrawn, today).join(grown, on="item_id", how="anti")
        grown = pl.concat([grown, before]).sort("item_id", "seen_from")
    rows = grown.to_arrow().cast(CATALOGUE_HISTORY.schema)
    table.write(rows)
    return rows


def known_items(store: Store) -> pl.Series:
    """Ids of all items that were ever catalogued.

    Raises:
        MissingPartition: no catalogue has been materialized.
    """
    ids = store.table(CATALOGUE_HISTORY.table).read(columns=["item_id"])
    return pl.DataFrame(ids)["item_id"].unique(maintain_order=True)


def last_seen(store: Store, columns: list[str]) -> pl.DataFrame:
    """`item_id` and columns of all items that were ever catalogued, as they were seen last.

    Raises:
        MissingPartition: no catalogue has been materialized.
    """
    rows = store.table(CATALOGUE_HISTORY.table).read(columns=["item_id", "seen_from", *columns])
    return _latest(pl.DataFrame(rows)).drop("seen_from")


def _extended(history: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """The history with what is new or has changed. Of several changes on a day the last counts."""
    columns = ["item_id", *_KEPT]
    new = seen.join(_latest(history), on=columns, how="anti", nulls_equal=True)
    kept = history.join(new, on=["item_id", "seen_from"], how="anti")
    return pl.concat([kept, new]).sort("item_id", "seen_from")


def _latest(history: pl.DataFrame) -> pl.DataFrame:
    return history.sort("seen_from", maintain_order=True).unique(
        "item_id", keep="last", maintain_order=True
    )


def _seen(items: pa.Table, today: date) -> pl.DataFrame:
    """The rows of a catalogue as those of the history; a category it has not is null."""
    frame = pl.DataFrame(items)
    return frame.select(
        "item_id",
        pl.lit(today, pl.Date).alias("seen_from"),
        *(
            pl.col(name) if name in frame.columns else pl.lit(None, pl.String).alias(name)
            for name in _KEPT
        ),
    )
