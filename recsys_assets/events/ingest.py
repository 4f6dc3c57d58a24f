"""One pass over the days of a run: read, validate, write, and say what was found."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import INTERACTIONS, QUARANTINED_INTERACTIONS, Contract
from recsys_assets.events.sources import Source
from recsys_assets.events.validation import DAY, Validated, reason_counts, validate
from recsys_assets.pace import Progress, silent
from recsys_assets.storage import Store

_DAYS_AT_ONCE = 31
"""Bounds the memory of a backfill: this many days are held at a time."""


@dataclass(frozen=True)
class DayReport:
    """What one day's partition holds, and what was kept out of it.

    `skipped` counts rows that keep the contract and are left out with their day; None elsewhere.
    """

    day: date
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
    """Reports of all days of a run, and how many rows came for days outside of it."""

    days: list[DayReport] = field(default_factory=list)
    for_other_days: Counter[date] = field(default_factory=Counter)


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
        BrokenInput: a delivered file cannot be used; days before it in the run are written.
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
        report.for_other_days.update(validated.for_other_days)
    for day in days:
        del report.for_other_days[day]
    return report


def _batches(days: list[date]) -> Iterator[list[date]]:
    for start in range(0, len(days), _DAYS_AT_ONCE):
        yield days[start : start + _DAYS_AT_ONCE]


def _by_day(rows: pl.DataFrame) -> dict[date, pl.DataFrame]:
    return {key[0]: part for key, part in rows.partition_by(DAY, as_dict=True).items()}


def _write(store: Store, contract: Contract, rows: pl.DataFrame, day: date) -> None:
    table: pa.Table = rows.select(contract.names).to_arrow().cast(contract.schema)
    store.table(contract.table).write(table, day.isoformat())


def _describe(day: date, good: pl.DataFrame, bad: pl.DataFrame, validated: Validated) -> DayReport:
    times = good["timestamp"].dt.convert_time_zone("UTC")
    return DayReport(
        day=day,
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
