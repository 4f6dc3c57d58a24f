"""Entities, feature views and feature services.

Feature columns come from their declarations in `recsys_assets.features.declarations`; attribute
columns from the tables that the source's `users` and `items` became. `feast apply` imports every
Python file of this folder: nothing else belongs here.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.types import FeastType, Float64, Int64, String

from recsys_assets.features.attributes import ATTRIBUTE_TABLES
from recsys_assets.features.backfill import spark_url
from recsys_assets.features.declarations import (
    ITEM_FEATURES,
    ITEM_PROMOTIONS,
    USER_FEATURES,
    FeatureSet,
)
from recsys_assets.features.feature_store import local_or_url, offline_store
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store

# Set by recsys_assets.features.feature_store, which runs this file for any store; the feast
# command line runs it for the configured one.
SETTINGS = globals().get("SETTINGS") or load_settings()
STORE = Store(SETTINGS.storage_url)
OFFLINE_STORE = offline_store(SETTINGS)

TYPES: dict[str, FeastType] = {
    "int64": Int64,
    "float64": Float64,
    "double": Float64,
    "string": String,
}
FOR_EVER = timedelta(0)  # A row is written when a value changes, so it is valid until the next.


def source(table: str, *, daily: bool) -> DataSource:
    """The table as the configured offline store reads it."""
    stored = OFFLINE_STORE.table(table)
    url = stored.glob if daily else stored.path()
    if SETTINGS.offline_store == "spark":
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

        return SparkSource(
            name=table,
            path=spark_url(url),
            file_format="parquet",
            timestamp_field="event_timestamp",
        )
    if SETTINGS.offline_store == "athena":
        from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import (
            AthenaSource,
        )

        return AthenaSource(name=table, table=table, timestamp_field="event_timestamp")
    return FileSource(
        name=table,
        path=local_or_url(url),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
    )


def declared_view(features: FeatureSet, entity: Entity, *, daily: bool) -> FeatureView:
    """The view of a declared feature set."""
    descriptions = features.descriptions
    return FeatureView(
        name=features.name,
        entities=[entity],
        ttl=FOR_EVER,
        schema=[
            Field(name=features.key, dtype=String),
            *[
                Field(name=name, dtype=TYPES[dtype], description=descriptions[name])
                for name, dtype in features.columns.items()
            ],
        ],
        source=source(features.name, daily=daily),
    )


def attribute_view(name: str, entity: Entity) -> FeatureView:
    """The view of an attribute table, with the attributes that this source has."""
    schema = STORE.table(name).read().schema
    fields = [field for field in schema if field.name != "event_timestamp"]
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=FOR_EVER,
        schema=[Field(name=field.name, dtype=TYPES[str(field.type)]) for field in fields],
        source=source(name, daily=False),
        description=f"Columns of {ATTRIBUTE_TABLES[name]}",
    )


user = Entity(name="user", join_keys=[USER_FEATURES.key], value_type=ValueType.STRING)
item = Entity(name="item", join_keys=[ITEM_FEATURES.key], value_type=ValueType.STRING)

user_attributes = attribute_view("user_attributes", user)
user_features = declared_view(USER_FEATURES, user, daily=True)
item_attributes = attribute_view("item_attributes", item)
item_features = declared_view(ITEM_FEATURES, item, daily=True)
item_promotions = declared_view(ITEM_PROMOTIONS, item, daily=False)

retrieval = FeatureService(
    name="retrieval",
    features=[user_attributes, user_features],
    description="Input of the query tower, together with the request's own features",
)
ranking = FeatureService(
    name="ranking",
    features=[user_attributes, user_features, item_attributes, item_features, item_promotions],
    description="Input of the ranker, together with the request's own features",
)
