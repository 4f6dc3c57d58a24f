"""Assets of the input tables. Wiring only: rules are in `validation.py` and `validation.py`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.partitions import daily
from recsys_assets.defs.plots import rows_per_day
from recsys_assets.defs.resources import SourceResource, StoreResource
from recsys_assets.events.contract import (
    CATALOGUE_HISTORY,
    INTERACTIONS,
    ITEMS,
    PROMOTIONS,
    QUARANTINED_INTERACTIONS,
    QUARANTINED_ROWS,
    USERS,
    Contract,
)
from recsys_assets.events.ingest import (
    DayReport,
    IngestReport,
    ingest,
    known_items,
    record_catalogue,
)
from recsys_assets.events.validation import (
    clean_items,
    clean_promotions,
    clean_users,
    clean_withdrawn,
    digest,
    reason_counts,
)
from recsys_assets.runtime.pace import paced
from recsys_assets.storage import Store

_GROUP = "events"
_OWNERS = ["team:data-platform"]
_KINDS = {"python", "polars", "parquet"}
_CODE_VERSION = code_version(
    "recsys_assets.events.ingest",
    "recsys_assets.events.validation",
    "recsys_assets.events.ingest",
    "recsys_assets.events.sources",
)
_PLOT_FROM_DAYS = 14

INTERACTIONS_KEY = dg.AssetKey("interactions")
QUARANTINED_KEY = dg.AssetKey("quarantined_interactions")


def _spec(name: str, description: str, contract: Contract, **more: Any) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        description=description,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds=_KINDS,
        code_version=_CODE_VERSION,
        metadata={"dagster/column_schema": _table_schema(contract)},
        **more,
    )


def _table_schema(contract: Contract, delivered: pa.Schema | None = None) -> dg.TableSchema:
    """The contract's columns; with `delivered`, its extra columns too."""
    columns = [
        dg.TableColumn(
            column.name,
            str(column.type),
            column.description,
            constraints=dg.TableColumnConstraints(nullable=not column.required),
        )
        for column in contract.columns
    ]
    if delivered is not None:
        columns += [
            dg.TableColumn(name, str(delivered.field(name).type), "As delivered.")
            for name in contract.extra_names(delivered)
        ]
    return dg.TableSchema(columns)


def _from_catalogue(column: str) -> dg.TableColumnLineage:
    item_id = dg.TableColumnDep(dg.AssetKey(CATALOGUE_HISTORY.table), column_name="item_id")
    return dg.TableColumnLineage({column: [item_id]})


@dg.multi_asset(
    name="ingest_interactions",
    specs=[
        _spec(
            "interactions",
            "What users did: views, clicks, carts and purchases, validated against the contract, "
            "without repeated rows, by the UTC day on which they happened.",
            INTERACTIONS,
            deps=["catalogue_history"],
        ),
        _spec(
            "quarantined_interactions",
            "Delivered rows that break the contract, as text, each with its reasons and file.",
            QUARANTINED_INTERACTIONS,
            deps=["catalogue_history"],
        ),
    ],
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[
        dg.AssetCheckSpec(
            "no_late_deliveries",
            asset="interactions",
            description="The days before these hold all that has been delivered of them by now; "
            "else corrected_days_sensor materializes them again, and what follows from them.",
        )
    ],
)
def ingest_interactions(
    context: dg.AssetExecutionContext, store: StoreResource, source: SourceResource
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Reads, validates and writes all days of the run."""
    tables = store.get()
    days = [date.fromisoformat(key) for key in context.partition_keys]
    progress = paced(context.log.info, "days")
    known = known_items(tables)
    report = ingest(
        source.get(),
        tables,
        days,
        known,
        datetime.now(UTC),
        progress,
        skipped=source.skipped(),
    )
    _log(context, report)
    _add_metadata(context, tables, report)
    yield dg.MaterializeResult(
        INTERACTIONS_KEY, metadata={"dagster/column_lineage": _from_catalogue("item_id")}
    )
    yield dg.MaterializeResult(
        QUARANTINED_KEY, metadata={"dagster/column_lineage": _from_catalogue("item_id")}
    )
    yield _late_deliveries(report)


def _log(context: dg.AssetExecutionContext, report: IngestReport) -> None:
    empty = [day.day.isoformat() for day in report.days if not day.rows and day.skipped is None]
    skipped = [f"{day.day} ({day.skipped} rows)" for day in report.days if day.skipped is not None]
    rows = sum(day.rows for day in report.days)
    quarantined = sum(day.quarantined for day in report.days)
    context.log.info(f"{len(report.days)} days: {rows} rows, {quarantined} quarantined")
    if empty:
        context.log.warning(f"days without a single event: {', '.join(empty)}")
    if skipped:
        context.log.warning(f"left out by RECSYS_SKIP_DAYS: {', '.join(skipped)}")


def _add_metadata(context: dg.AssetExecutionContext, tables: Store, report: IngestReport) -> None:
    """Each day's figures on its own partition; the plot of a long run on its last."""
    late = {"rows_for_earlier_days": _waiting(report)}
    for day in report.days:
        key = day.day.isoformat()
        context.add_asset_metadata({**_of_day(day, tables), **late}, INTERACTIONS_KEY, key)
        context.add_asset_metadata(_of_quarantine(day, tables), QUARANTINED_KEY, key)
    if len(report.days) >= _PLOT_FROM_DAYS:
        days = [day.day for day in report.days]
        good = {"accepted": [day.rows for day in report.days]}
        bad = {"quarantined": [day.quarantined for day in report.days]}
        for asset, series in ((INTERACTIONS_KEY, good), (QUARANTINED_KEY, bad)):
            plot = dg.MetadataValue.md(rows_per_day(days, series))
            context.add_asset_metadata({"rows_per_day": plot}, asset, days[-1].isoformat())


def _of_day(day: DayReport, tables: Store) -> Mapping[str, Any]:
    times: dict[str, Any] = {}
    if day.first_event and day.last_event:
        times["first_event"] = dg.MetadataValue.timestamp(day.first_event)
        times["last_event"] = dg.MetadataValue.timestamp(day.last_event)
    return {
        "dagster/partition_row_count": day.rows,
        "dagster/uri": tables.table("interactions").path(day.day.isoformat()),
        "content": day.content,
        **times,
        "distinct_users": day.users,
        "distinct_items": day.items,
        "repeated_rows_removed": day.duplicates,
        "late_rows": day.late,
        "quarantined_rows": day.quarantined,
        **({} if day.skipped is None else {"rows_left_out_with_the_day": day.skipped}),
    }


def _of_quarantine(day: DayReport, tables: Store) -> Mapping[str, Any]:
    return {
        "dagster/partition_row_count": day.quarantined,
        "dagster/uri": tables.table("quarantined_interactions").path(day.day.isoformat()),
        "rows_by_reason": day.reasons,
    }


def _waiting(report: IngestReport) -> dict[str, int]:
    return {day.isoformat(): rows for day, rows in report.out_of_date.items()}


def _late_deliveries(report: IngestReport) -> dg.AssetCheckResult:
    waiting = _waiting(report)
    again = f"materialize again: {', '.join(waiting)}" if waiting else None
    return dg.AssetCheckResult(
        passed=not waiting and report.unreadable is None,
        asset_key=INTERACTIONS_KEY,
        check_name="no_late_deliveries",
        severity=dg.AssetCheckSeverity.WARN,
        description=report.unreadable or again,
        metadata={"rows_for_earlier_days": waiting},
    )


def _entity_specs(
    name: str, description: str, contract: Contract, deps: Sequence[str] = ()
) -> list[dg.AssetSpec]:
    return [
        _spec(name, description, contract, deps=deps),
        _spec(
            f"quarantined_{name}",
            f"Delivered rows of {name} that break the contract, each with its reasons.",
            QUARANTINED_ROWS,
            deps=deps,
        ),
    ]


def _write_entities(
    tables: Store, contract: Contract, good: pa.Table, bad: pa.Table, **metadata: Any
) -> Iterator[dg.MaterializeResult]:
    name = contract.table
    for table, rows, schema in (
        (name, good, _table_schema(contract, good.schema)),
        (f"quarantined_{name}", bad, _table_schema(QUARANTINED_ROWS)),
    ):
        tables.table(table).write(rows)
        reasons = reason_counts(pl.DataFrame(pl.from_arrow(bad)))
        yield dg.MaterializeResult(
            table,
            data_version=dg.DataVersion(digest(rows)),
            metadata={
                "dagster/row_count": rows.num_rows,
                "dagster/uri": tables.table(table).path(),
                "dagster/column_schema": schema,
                **(metadata if rows is good else {"rows_by_reason": reasons}),
            },
        )


@dg.multi_asset(
    name="ingest_items",
    specs=[
        *_entity_specs("items", "The catalogue: every product that the shop sells.", ITEMS),
        _spec(
            CATALOGUE_HISTORY.table,
            "Every product that was ever catalogued, with its categories from the day on that they "
            "were seen. It only grows: events of withdrawn products stay what they were.",
            CATALOGUE_HISTORY,
        ),
    ],
)
def ingest_items(store: StoreResource, source: SourceResource) -> Iterator[dg.MaterializeResult]:
    """Reads, validates and writes the catalogue, its history first."""
    tables = store.get()
    good, bad = clean_items(source.get().items())
    withdrawn, unusable = clean_withdrawn(source.get().withdrawn_items())
    bad = pa.concat_tables([bad, unusable])
    catalogue = pl.DataFrame(pl.from_arrow(good))
    history = record_catalogue(tables, good, datetime.now(UTC).date(), withdrawn)
    ever = len(history["item_id"].unique())
    yield dg.MaterializeResult(
        CATALOGUE_HISTORY.table,
        data_version=dg.DataVersion(digest(history)),
        metadata={
            "dagster/row_count": history.num_rows,
            "dagster/uri": tables.table(CATALOGUE_HISTORY.table).path(),
            "items": ever,
            "withdrawn_items": ever - good.num_rows,
        },
    )
    yield from _write_entities(
        tables,
        ITEMS,
        good,
        bad,
        distinct_texts=catalogue["text"].n_unique(),
        without_text=catalogue.filter(pl.col("text") == "").height,
        categories=catalogue["category_l2"].n_unique(),
        sample=dg.MetadataValue.md(_sample(catalogue)),
    )


@dg.multi_asset(
    name="ingest_users",
    specs=_entity_specs("users", "Users with the attributes that the shop declares.", USERS),
)
def ingest_users(store: StoreResource, source: SourceResource) -> Iterator[dg.MaterializeResult]:
    """Reads, validates and writes the users."""
    good, bad = clean_users(source.get().users())
    people = pl.DataFrame(pl.from_arrow(good))
    missing = {name: people[name].null_count() for name in USERS.extra_names(good.schema)}
    yield from _write_entities(store.get(), USERS, good, bad, missing_by_attribute=missing)


@dg.multi_asset(
    name="ingest_promotions",
    specs=_entity_specs(
        "promotions",
        "Planned promotions: when, and in what share of stores, an item is on display or in the "
        "mailer. Known ahead of time; empty where the source has none.",
        PROMOTIONS,
        deps=["catalogue_history"],
    ),
)
def ingest_promotions(
    store: StoreResource, source: SourceResource
) -> Iterator[dg.MaterializeResult]:
    """Reads, validates and writes the promotions."""
    tables = store.get()
    good, bad = clean_promotions(source.get().promotions(), known_items(tables))
    planned = pl.DataFrame(pl.from_arrow(good))
    yield from _write_entities(
        tables,
        PROMOTIONS,
        good,
        bad,
        distinct_items=planned["item_id"].n_unique(),
        time_range=f"{planned['valid_from'].min()!s} to {planned['valid_to'].max()!s}",
        **{"dagster/column_lineage": _from_catalogue("item_id")},
    )


def _sample(catalogue: pl.DataFrame) -> str:
    rows = catalogue.select("item_id", "text").gather_every(max(1, catalogue.height // 10)).head(10)
    lines = [f"| {item} | {text.replace('|', ' ')} |" for item, text in rows.iter_rows()]
    return "\n".join(["| item_id | text |", "|---|---|", *lines])
