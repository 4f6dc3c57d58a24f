"""Training examples as assets. Wiring only: see `training_examples.py`."""

import time
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.graph.features.assets import VIEWS, column_lineage, deployment
from recsys_assets.defs.partitions import all_days_of, daily
from recsys_assets.defs.plots import examples_per_week
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets.features.attributes import ATTRIBUTE_TABLES
from recsys_assets.features.declarations import DAILY_FEATURE_SETS, FEATURE_SETS, ITEM_PROMOTIONS
from recsys_assets.storage import Store

_GROUP = "features"
_OWNERS = ["team:ml"]

_EXAMPLE_COLUMNS = {
    "user_id": [("interactions", "user_id")],
    "item_id": [("interactions", "item_id")],
    "timestamp": [("interactions", "timestamp")],
    "device": [("interactions", "device")],
    "split": [("interactions", "timestamp")],
}
_SCHEMA = dg.TableSchema(
    [
        *(dg.TableColumn(name) for name in _EXAMPLE_COLUMNS),
        *(
            dg.TableColumn(name, dtype, features.descriptions[name])
            for features in FEATURE_SETS
            for name, dtype in features.columns.items()
        ),
    ]
)


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"feast", "duckdb", "parquet"},
    code_version=code_version(
        "recsys_assets.features.training_examples", "recsys_assets.features.asof_store"
    ),
    deps=["interactions", "feature_registry", *VIEWS],
    description="Each user's first purchase of each item in history, with all features as of its "
    "own moment: joined point in time by Feast, so that no example knows of its own event or a "
    "later one. `split` says which of them the initial models neither learn from nor validate on.",
    metadata={"dagster/column_schema": _SCHEMA},
)
def training_examples(
    context: dg.AssetExecutionContext, store: StoreResource, run_days: RunDays
) -> dg.MaterializeResult:
    """Finds first purchases, joins features, writes the table."""
    from recsys_assets.features import training_examples as module
    from recsys_assets.features.feature_store import open_feature_store

    settings, tables = deployment(store), store.get()
    entities = module.example_entities(tables, run_days.get())
    context.log.info(f"{entities.num_rows} first purchases; joining what was known at each")
    started = time.monotonic()
    examples = module.training_examples(open_feature_store(settings), entities)
    context.log.info(f"{examples.num_rows} examples in {time.monotonic() - started:.1f} s")
    tables.table("training_examples").write(examples)
    return dg.MaterializeResult(metadata=_example_metadata(tables, examples))


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"feast", "duckdb", "parquet"},
    code_version=code_version(
        "recsys_assets.features.training_examples", "recsys_assets.features.asof_store"
    ),
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[
        all_days_of("interactions"),
        "feature_registry",
        *ATTRIBUTE_TABLES,
        ITEM_PROMOTIONS.name,
        # What the day itself brings is known when it is over.
        *(all_days_of(features.name, last=1) for features in DAILY_FEATURE_SETS),
    ],
    description="First purchases of one day, joined as `training_examples` are: what a fine-tune "
    "learns from. A day needs the events and features of all days before it.",
    metadata={"dagster/column_schema": _SCHEMA},
)
def daily_examples(context: dg.AssetExecutionContext, store: StoreResource) -> None:
    """Finds the first purchases of the run's days, joins features, writes a partition a day."""
    from recsys_assets.features import training_examples as module
    from recsys_assets.features.feature_store import open_feature_store

    settings, tables = deployment(store), store.get()
    days = sorted(context.partition_keys)
    entities = module.entities_of_days(tables, settings.first_day, days)
    found = module.training_examples(open_feature_store(settings), entities)
    table, lineage = tables.table("daily_examples"), _lineage(tables)
    for day, rows in module.by_day(found, days):
        table.write(rows, day)
        metadata = {
            "dagster/partition_row_count": rows.num_rows,
            "rows": rows.num_rows,
            "dagster/uri": table.path(day),
            "dagster/column_schema": _schema(rows.schema),
            "dagster/column_lineage": lineage,
        }
        context.add_asset_metadata(metadata, context.asset_key, day)


def _example_metadata(tables: Store, examples: pa.Table) -> dict[str, Any]:
    splits = pc.value_counts(examples["split"]).to_pylist()
    return {
        "dagster/row_count": examples.num_rows,
        "rows": examples.num_rows,
        "dagster/uri": tables.table("training_examples").path(),
        "dagster/column_schema": _schema(examples.schema),
        "dagster/column_lineage": _lineage(tables),
        "rows_by_split": {str(found["values"]): found["counts"] for found in splits},
        "first_example": dg.MetadataValue.timestamp(pc.min(examples["timestamp"]).as_py()),
        "last_example": dg.MetadataValue.timestamp(pc.max(examples["timestamp"]).as_py()),
        "examples_per_week": dg.MetadataValue.md(examples_per_week(examples["timestamp"])),
    }


def _schema(columns: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in columns])


def _lineage(tables: Store) -> dg.TableColumnLineage:
    features = {name: [(view, name)] for view in VIEWS for name in _view_columns(tables, view)}
    return column_lineage({**_EXAMPLE_COLUMNS, **features})


def _view_columns(tables: Store, view: str) -> list[str]:
    declared = {features.name: list(features.columns) for features in FEATURE_SETS}
    if view in declared:
        return declared[view]
    return tables.table(view).read().column_names[2:]
