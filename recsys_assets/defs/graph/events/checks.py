"""Checks of the input tables.

A check of a daily asset looks at the partitions of its run only: one day, or in a backfill all
days at once, with one result that names the days at fault.
"""

import warnings
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import dagster as dg
import polars as pl

from recsys_assets.defs.partitions import daily
from recsys_assets.defs.resources import RunDays, SourceResource, StoreResource
from recsys_assets.events.contract import INTERACTIONS
from recsys_assets.events.quality import (
    WEEKS_COMPARED,
    broken_rows,
    days_over,
    rows_per_day,
    unusual_days,
    why_quarantined,
)
from recsys_assets.storage import Store

# A partitioned check is marked as a preview in Dagster 1.13; without it, a check of one day would
# be filed as one of the whole asset.
warnings.filterwarnings(
    "ignore", "Specifying a partitions_def on an AssetCheckSpec", category=dg.PreviewWarning
)

MAX_QUARANTINED = 0.05
USUAL_VOLUME = (0.5, 2.0)
_ENOUGH_ROWS = 100
_DAYS_READ_AT_ONCE = 31
_NAMED = 10


def _days(context: dg.AssetCheckExecutionContext) -> list[date]:
    return sorted(date.fromisoformat(key) for key in context.partition_keys)


def _named(figures: Mapping[date, float]) -> str:
    worst = sorted(figures)[:_NAMED]
    more = f" and {len(figures) - _NAMED} more" if len(figures) > _NAMED else ""
    return ", ".join(f"{day} ({figures[day]:.1%})" for day in worst) + more


@dg.asset_check(
    asset="interactions",
    partitions_def=daily,
    blocking=True,
    description="Columns and types of the contract, ids and times present, each row on its day, "
    "no row twice.",
)
def interactions_keep_contract(
    context: dg.AssetCheckExecutionContext, store: StoreResource
) -> dg.AssetCheckResult:
    """Reads the partitions back and looks for anything that validation should have caught."""
    days, table = _days(context), store.get().table("interactions")
    broken: dict[str, int] = {}
    for start in range(0, len(days), _DAYS_READ_AT_ONCE):
        some = days[start : start + _DAYS_READ_AT_ONCE]
        rows = table.read([day.isoformat() for day in some])
        if not rows.schema.equals(INTERACTIONS.schema):
            return dg.AssetCheckResult(
                passed=False,
                description=f"the schema between {some[0]} and {some[-1]} is not the contract's",
                metadata={"schema": str(rows.schema)},
            )
        for name, count in broken_rows(rows, some[0], some[-1]).items():
            broken[name] = broken.get(name, 0) + count
    return dg.AssetCheckResult(
        passed=not broken, metadata={"days": len(days), "broken_rows": broken}
    )


@dg.asset_check(
    asset="interactions",
    additional_deps=["quarantined_interactions"],
    partitions_def=daily,
    blocking=True,
    description=f"At most {MAX_QUARANTINED:.0%} of the delivered rows are in quarantine, for the "
    f"run and for every day with {_ENOUGH_ROWS} rows or more. Days that are skipped do not count.",
)
def quarantine_ratio(
    context: dg.AssetCheckExecutionContext, store: StoreResource, source: SourceResource
) -> dg.AssetCheckResult:
    """Too many bad rows mean a broken delivery: features and models must not learn from it."""
    tables, skipped = store.get(), source.skipped()
    days = [day for day in _days(context) if day not in skipped]
    accepted = rows_per_day(tables, "interactions", days)
    quarantined = rows_per_day(tables, "quarantined_interactions", days)
    over = days_over(accepted, quarantined, MAX_QUARANTINED, _ENOUGH_ROWS)
    bad, good = sum(quarantined.values()), sum(accepted.values())
    share = bad / max(1, bad + good)
    too_much = share > MAX_QUARANTINED and bad + good >= _ENOUGH_ROWS
    return dg.AssetCheckResult(
        passed=not over and not too_much,
        description=_remedy(tables, over, share, quarantined) if over or too_much else None,
        metadata={
            "quarantined_rows": bad,
            "accepted_rows": good,
            "quarantined_share": share,
            "skipped_days": [day.isoformat() for day in _days(context) if day in skipped],
        },
    )


def _remedy(
    tables: Store, over: Mapping[date, float], share: float, quarantined: Mapping[date, int]
) -> str:
    """What is wrong, with a line for each of the worst days, and what to do."""
    if over:
        worst = sorted(over)[:_NAMED]
        what = f"too much in quarantine on {_named(over)}"
        without = f", or go on without: RECSYS_SKIP_DAYS={','.join(map(str, sorted(over)))}"
    else:
        worst = sorted(sorted(quarantined, key=lambda day: -quarantined[day])[:_NAMED])
        what, without = f"too much in quarantine: {share:.1%} of all rows, no day stands out", ""
    why = [f"{day}: {why_quarantined(tables, day)}" for day in worst if quarantined[day]]
    return "\n".join([what, *why, f"correct the delivery and materialize again{without}"])


@dg.asset_check(
    asset="interactions",
    partitions_def=daily,
    description="No day is without events.",
)
def days_have_events(
    context: dg.AssetCheckExecutionContext, store: StoreResource
) -> dg.AssetCheckResult:
    """An empty day is stored as an empty partition; it may be a holiday, or a lost delivery."""
    counts = rows_per_day(store.get(), "interactions", _days(context))
    empty = [day.isoformat() for day, rows in counts.items() if not rows]
    return dg.AssetCheckResult(
        passed=not empty,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"no events on {', '.join(empty)}" if empty else None,
        metadata={"empty_days": empty},
    )


@dg.asset_check(
    asset="interactions",
    partitions_def=daily,
    description=f"Rows of a day within {USUAL_VOLUME[0]} to {USUAL_VOLUME[1]} times the mean of "
    f"the same weekday in the {WEEKS_COMPARED} weeks before.",
)
def volume_is_usual(
    context: dg.AssetCheckExecutionContext, store: StoreResource
) -> dg.AssetCheckResult:
    """Compares with what is stored of the weeks before; the first two weeks have no yardstick."""
    days, tables = _days(context), store.get()
    before = [days[0] - timedelta(days=back) for back in range(7 * WEEKS_COMPARED, 0, -1)]
    counts = rows_per_day(tables, "interactions", [*before, *days])
    unusual = unusual_days(counts, days, *USUAL_VOLUME)
    return dg.AssetCheckResult(
        passed=not unusual,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"rows over the usual number: {_named(unusual)}" if unusual else None,
        metadata={"unusual_days": {day.isoformat(): share for day, share in unusual.items()}},
    )


@dg.asset_check(
    asset="interactions",
    description="The newest stored day is the last one before today.",
)
def interactions_are_fresh(store: StoreResource, run_days: RunDays) -> dg.AssetCheckResult:
    """Old data makes old recommendations; `RECSYS_TODAY` is what counts as today."""
    today = run_days.get().today
    days = store.get().table("interactions").days()
    newest = date.fromisoformat(days[-1]) if days else None
    behind = (today - timedelta(days=1) - newest).days if newest else None
    return dg.AssetCheckResult(
        passed=behind is not None and behind <= 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{behind} days behind" if behind and behind > 0 else None,
        metadata={"newest_day": str(newest), "today": str(today)},
    )


def _unique_ids(store: StoreResource, table: str, key: str, least: int) -> dg.AssetCheckResult:
    ids = pl.Series(store.get().table(table).read(columns=[key])[key])
    missing, repeated = ids.null_count(), ids.len() - ids.n_unique()
    return dg.AssetCheckResult(
        passed=ids.len() >= least and not missing and not repeated,
        metadata={"rows": ids.len(), "missing": missing, "repeated": repeated},
    )


@dg.asset_check(asset="items", blocking=True, description="There are items, each with its own id.")
def items_have_unique_ids(store: StoreResource) -> dg.AssetCheckResult:
    """An ambiguous id would give one product the features of another."""
    return _unique_ids(store, "items", "item_id", least=1)


@dg.asset_check(asset="users", blocking=True, description="Each user has an id of their own.")
def users_have_unique_ids(store: StoreResource) -> dg.AssetCheckResult:
    """An ambiguous id would join a user's events twice. Of nobody may anything be known."""
    return _unique_ids(store, "users", "user_id", least=0)


@dg.asset_check(asset="items", description="At least 90 % of the items have a text.")
def items_have_texts(store: StoreResource) -> dg.AssetCheckResult:
    """A product without text cannot be recommended before it has sold."""
    texts = pl.Series(store.get().table("items").read(columns=["text"])["text"])
    share = float((texts != "").sum()) / max(1, texts.len())
    return dg.AssetCheckResult(
        passed=share >= 0.9, severity=dg.AssetCheckSeverity.WARN, metadata={"share": share}
    )


EVENT_CHECKS: Sequence[dg.AssetChecksDefinition] = [
    interactions_keep_contract,
    quarantine_ratio,
    days_have_events,
    volume_is_usual,
    interactions_are_fresh,
    items_have_unique_ids,
    items_have_texts,
    users_have_unique_ids,
]
