"""Feature assets. Wiring only: each asset calls one plain module of this folder."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow.compute as pc

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.graph.features.lineage import Sources, column_sources
from recsys_assets.defs.partitions import all_days_of, daily, days_of
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets.features.attributes import ATTRIBUTE_TABLES, attribute_rows, user_columns
from recsys_assets.features.backfill import Backfill, backfill_features, backfill_first_times
from recsys_assets.features.declarations import (
    FEATURE_SETS,
    ITEM_FEATURES,
    ITEM_PROMOTIONS,
    USER_FEATURES,
    FeatureSet,
    FirstTime,
)
from recsys_assets.runtime.pace import paced
from recsys_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_GROUP = "features"
_OWNERS = ["team:data-platform"]
_SINGLE_RUN = dg.BackfillPolicy.single_run()
# Whatever writes the online store from history is in this pool, which holds one step of all runs.
ONLINE_STORE_POOL = "online_store"
VIEWS = [*ATTRIBUTE_TABLES, *(features.name for features in FEATURE_SETS)]
_PARITY_ENTITIES = 1_000
_FEW_DAYS = 7
_FIRST_SOLD = ITEM_FEATURES.of(FirstTime)[0]


def deployment(store: StoreResource) -> Settings:
    """The deployment's settings, over the storage of this run."""
    return replace(load_settings(), storage_url=store.url)


def column_lineage(sources: Mapping[str, Sources]) -> dg.TableColumnLineage:
    """Dagster's column lineage of columns, each with the asset columns it is made from."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(asset), name) for asset, name in found]
            for column, found in sources.items()
        }
    )


def _attribute_asset(name: str, entities: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds={"python", "parquet"},
        code_version=code_version("recsys_assets.features.attributes"),
        deps=[entities],
        description=f"Attributes of {entities}, valid from the first day of history: the columns "
        f"of `{entities}` that a model may use as they are, as Feast reads them.",
    )
    def attributes(store: StoreResource) -> dg.MaterializeResult:
        rows = attribute_rows(
            entities, store.get().table(entities).read(), load_settings().first_day
        )
        store.get().table(name).write(rows)
        names = [n for n in rows.column_names if n != "event_timestamp"]
        fields = [dg.TableColumn(field.name, str(field.type)) for field in rows.schema]
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows.num_rows,
                "rows": rows.num_rows,
                "dagster/uri": store.get().table(name).path(),
                "dagster/column_schema": dg.TableSchema(fields),
                "dagster/column_lineage": column_lineage({n: [(entities, n)] for n in names}),
                "missing_by_attribute": {n: rows.column(n).null_count for n in names},
            }
        )

    return attributes


user_attributes, item_attributes = (
    _attribute_asset(name, entities) for name, entities in ATTRIBUTE_TABLES.items()
)


def _schema(features: FeatureSet) -> dg.TableSchema:
    described = features.descriptions
    columns = [
        dg.TableColumn(features.key, "string", "Entity"),
        dg.TableColumn("event_timestamp", "timestamp[us, tz=UTC]", "When the values are known"),
        *(dg.TableColumn(name, dtype, described[name]) for name, dtype in features.columns.items()),
    ]
    return dg.TableSchema(columns)


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"spark", "parquet"},
    code_version=code_version("recsys_assets.features.backfill"),
    partitions_def=daily,
    backfill_policy=_SINGLE_RUN,
    deps=["interactions"],
    description="When each item was first sold on the day, of the day's events alone. The least "
    "time of all days is the item's first sale: the whole state that a day of features needs of "
    "the history before its windows, and right again once a day has been put right.",
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn("item_id", "string", "Item"),
                dg.TableColumn("first_time", "int64", "First purchase of the day, epoch seconds"),
            ]
        ),
        "dagster/column_lineage": column_lineage(
            {
                "item_id": [("interactions", "item_id")],
                "first_time": [("interactions", "timestamp"), ("interactions", "event")],
            }
        ),
    },
)
def item_first_sold(context: dg.AssetExecutionContext, store: StoreResource) -> None:
    """Finds each item's first sale on each of the run's days."""
    from recsys_assets.features.spark_session import told_tasks

    work, days = _backfill(context, store), paced(context.log.info, "days written")
    started = time.monotonic()
    with (
        _session(store, work) as spark,
        told_tasks(spark, paced(context.log.info, "Spark tasks")),
    ):
        rows = backfill_first_times(spark, ITEM_FEATURES.key, _FIRST_SOLD, work, days)
    _record(context, store, work, rows, time.monotonic() - started)


def _session(store: StoreResource, work: Backfill) -> AbstractContextManager["SparkSession"]:
    from recsys_assets.features.spark_session import spark_session

    settings, short = deployment(store), len(work.days) <= _FEW_DAYS
    return spark_session(settings.cluster, short=short, wait_seconds=settings.wait_seconds)


def _feature_asset(features: FeatureSet, deps: list[Any], description: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=features.name,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds={"spark", "parquet"},
        code_version=code_version("recsys_assets.features.backfill"),
        partitions_def=daily,
        backfill_policy=_SINGLE_RUN,
        deps=[days_of("interactions", features.lookback_days), *deps],
        description=description,
        metadata={
            "dagster/column_schema": _schema(features),
            "dagster/column_lineage": column_lineage(column_sources(features)),
        },
    )
    def snapshots(context: dg.AssetExecutionContext, store: StoreResource) -> None:
        from recsys_assets.features.spark_session import told_tasks

        work, days = _backfill(context, store), paced(context.log.info, "days written")
        started = time.monotonic()
        with (
            _session(store, work) as spark,
            told_tasks(spark, paced(context.log.info, "Spark tasks")),
        ):
            rows = backfill_features(spark, features, work, days)
        _record(context, store, work, rows, time.monotonic() - started)

    return snapshots


user_features = _feature_asset(
    USER_FEATURES,
    ["catalogue_history"],
    "What users did over 1, 7 and 28 days, as known at the end of each day. A row for each user of "
    "whom a value changed on the day.",
)
item_features = _feature_asset(
    ITEM_FEATURES,
    [all_days_of("item_first_sold")],
    "Price, discount, popularity over 1, 7 and 28 days and age of items, as known at the end of "
    "each day. A row for each item of which a value changed on the day.",
)


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"python", "parquet"},
    code_version=code_version("recsys_assets.features.attributes"),
    deps=["promotions"],
    description="Display and mailer of items from the promotion plan: a row for each moment at "
    "which an item's value changes, valid until its next. Plans are made ahead, so models read "
    "the value that is valid at the moment of the request.",
    metadata={
        "dagster/column_schema": _schema(ITEM_PROMOTIONS),
        "dagster/column_lineage": column_lineage(column_sources(ITEM_PROMOTIONS)),
    },
)
def item_promotions(store: StoreResource) -> dg.MaterializeResult:
    """Turns spans of validity into changes."""
    from recsys_assets.features.attributes import change_rows

    tables = store.get()
    rows = change_rows(tables.table("promotions").read())
    tables.table(ITEM_PROMOTIONS.name).write(rows)
    times = pc.min_max(rows["event_timestamp"]).as_py()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows.num_rows,
            "items": len(rows["item_id"].unique()),
            "time_range": f"{times['min']} to {times['max']}",
            "dagster/uri": tables.table(ITEM_PROMOTIONS.name).path(),
        }
    )


def _backfill(context: dg.AssetExecutionContext, store: StoreResource) -> Backfill:
    return Backfill(store.get(), sorted(context.partition_keys), load_settings().first_day)


def _record(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    work: Backfill,
    rows: int,
    seconds: float,
) -> None:
    name = context.asset_key.to_user_string()
    context.log.info(f"{len(work.days)} days, {rows:,} rows in {seconds:.1f} s")
    metadata = {
        "rows": rows,
        "time_range": f"{work.days[0]} to {work.days[-1]}",
        "seconds": round(seconds, 1),
        "dagster/uri": store.get().table(name).glob,
    }
    for day in work.days:
        context.add_asset_metadata(metadata, context.asset_key, day)


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"feast"},
    code_version=code_version("recsys_assets.features.feature_store", "feature_repo.definitions"),
    deps=list(ATTRIBUTE_TABLES),
    description="Feast's registry: entities, feature views and services of `feature_repo/`.",
)
def feature_registry(store: StoreResource) -> dg.MaterializeResult:
    """Applies the feature repository."""
    from recsys_assets.features.feature_store import apply_repository

    settings = deployment(store)
    return dg.MaterializeResult(
        metadata={
            "registered": apply_repository(settings),
            "offline_store": settings.offline_store,
            "registry": f"{settings.storage_url}/feast/registry.db",
        }
    )


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"feast", "valkey"},
    code_version=code_version("recsys_assets.features.online", "recsys_assets.features.parity"),
    pool=ONLINE_STORE_POOL,
    deps=["feature_registry", *VIEWS],
    check_specs=[
        dg.AssetCheckSpec(
            "offline_equals_online",
            asset="online_features",
            blocking=True,
            description=f"All features of {_PARITY_ENTITIES} users and {_PARITY_ENTITIES} items: "
            "what the point-in-time join gives as of today equals what Feast serves and, for "
            "users, what served models read.",
        )
    ],
    description="The online store, brought to the values as of the end of history by Feast's "
    "materialization, or kept at the later moment that it has reached.",
)
def online_features(
    context: dg.AssetExecutionContext, store: StoreResource, run_days: RunDays
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Materializes, then compares a sample with the offline tables."""
    from recsys_assets.features.feature_store import open_feature_store
    from recsys_assets.features.online import OfflineContents, connect, materialize
    from recsys_assets.features.parity import sampled_parity
    from recsys_assets.features.reader import OnlineUserFeatures

    settings, tables = deployment(store), store.get()
    contents = OfflineContents.of(tables)
    feature_store = open_feature_store(settings)
    sent = materialize(
        feature_store,
        settings.online_store_url,
        settings.first_day,
        run_days.get().today,
        contents,
        paced(context.log.info, "feature views sent"),
    )
    client = connect(settings.online_store_url)
    reader = OnlineUserFeatures(client, user_columns(tables))
    parity = sampled_parity(feature_store, reader, tables, sent.end, _PARITY_ENTITIES)
    figures = {"compared": parity.compared, "different": parity.different}
    yield dg.MaterializeResult(
        metadata={
            "parity": figures,
            "as_of": dg.MetadataValue.timestamp(sent.end),
            "all_of_history_sent": sent.complete,
            "keys": client.dbsize(),
            "memory_bytes": client.info("memory")["used_memory"],
        }
    )
    yield dg.AssetCheckResult(
        passed=parity.different == 0 and parity.compared > 0,
        check_name="offline_equals_online",
        metadata={**figures, "examples": parity.examples},
    )
