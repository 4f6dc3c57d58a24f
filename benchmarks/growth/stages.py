"""The stages that are timed, each as its asset runs it.

`HISTORY` lists those whose work is all days, so that twice the days may take twice the time;
`DAY` those whose work is the newest day, so that they should take the same whatever went before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from benchmarks.growth.shop import FIRST_DAY, Shop
from recsys_assets.defs.runs.instance import open_instance
from recsys_assets.defs.runs.reuse import assets_to_materialize
from recsys_assets.events.ingest import ingest
from recsys_assets.events.purchases import purchased_items, purchased_on
from recsys_assets.features import online
from recsys_assets.features.backfill import Backfill, backfill_features, backfill_first_times
from recsys_assets.features.declarations import ITEM_FEATURES, USER_FEATURES, FirstTime
from recsys_assets.features.feature_store import apply_repository, open_feature_store
from recsys_assets.features.training_examples import (
    entities_of_days,
    example_entities,
    training_examples,
)
from recsys_assets.models.item_history import ItemHistory
from recsys_assets.monitoring.outcomes import outcomes
from recsys_assets.monitoring.sessions import sessions_of
from recsys_assets.retraining.labelled import labelled_days
from recsys_assets.settings import Settings
from recsys_assets.settings.days import days_between
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from feast import FeatureStore
    from pyspark.sql import SparkSession

_ATTRIBUTION_HOURS = 24
(_FIRST_SOLD,) = ITEM_FEATURES.of(FirstTime)


@dataclass(frozen=True)
class World:
    """A shop after some days, in a folder of its own."""

    settings: Settings
    spark: "SparkSession"
    shop: Shop
    days: list[str]

    @classmethod
    def of(cls, base: Settings, spark: "SparkSession", folder: Path, count: int) -> "World":
        """One of `count` days, with entities and two days of answers, and nothing else yet."""
        today = FIRST_DAY + timedelta(days=count)
        settings = replace(
            base,
            home=folder,
            storage_url=(folder / "storage").as_uri(),
            first_day=FIRST_DAY,
            last_day=None,
            today=today,
        )
        world = cls(settings, spark, Shop(), days_between(FIRST_DAY, today - timedelta(days=1)))
        world.shop.write_entities(world.store)
        for ago in (1, 2):
            world.shop.write_answers(world.store, today - timedelta(days=ago))
        apply_repository(settings)
        return world

    @property
    def store(self) -> Store:
        """What the stages read and write."""
        return Store(self.settings.storage_url)

    @property
    def newest(self) -> list[str]:
        """The newest day alone."""
        return self.days[-1:]

    @cached_property
    def feature_store(self) -> "FeatureStore":
        """Opened when it is first used: opening is no part of a stage."""
        return open_feature_store(self.settings)

    @cached_property
    def definitions(self) -> dg.Definitions:
        """A graph of one daily asset that does nothing: what Dagster itself takes."""
        daily = dg.DailyPartitionsDefinition(
            FIRST_DAY.isoformat(), end_date=self.settings.today.isoformat()
        )

        @dg.asset(partitions_def=daily, backfill_policy=dg.BackfillPolicy.single_run())
        def nothing() -> None:
            pass

        return dg.Definitions(assets=[nothing], jobs=[dg.define_asset_job("all_days")])


def _ingest(world: World, days: list[str]) -> None:
    known = pl.Series(world.shop.item_ids)
    dates = [date.fromisoformat(day) for day in days]
    # Of a source, it asks for interactions alone.
    ingest(world.shop, world.store, dates, known, datetime.now(UTC))  # type: ignore[arg-type]


def _first_sold(world: World, days: list[str]) -> None:
    work = Backfill(world.store, days, FIRST_DAY)
    backfill_first_times(world.spark, ITEM_FEATURES.key, _FIRST_SOLD, work)


def _user_features(world: World, days: list[str]) -> None:
    backfill_features(world.spark, USER_FEATURES, Backfill(world.store, days, FIRST_DAY))


def _item_features(world: World, days: list[str]) -> None:
    backfill_features(world.spark, ITEM_FEATURES, Backfill(world.store, days, FIRST_DAY))


def _all_examples(world: World) -> None:
    entities = example_entities(world.store, world.settings)
    training_examples(world.feature_store, entities)


def _examples_of_a_day(world: World) -> None:
    entities = entities_of_days(world.store, FIRST_DAY, world.newest)
    training_examples(world.feature_store, entities)


def _send(world: World, today: date) -> None:
    url = world.settings.online_store_url
    contents = online.OfflineContents.of(world.store)
    online.materialize(world.feature_store, url, FIRST_DAY, today, contents)


def _send_all(world: World) -> None:
    with online.connect(world.settings.online_store_url) as client:
        client.flushall()
    _send(world, world.settings.today - timedelta(days=1))


def _run_all_days(world: World) -> None:
    tags = {
        "dagster/asset_partition_range_start": world.days[0],
        "dagster/asset_partition_range_end": world.days[-1],
    }
    job = world.definitions.resolve_job_def("all_days")
    with open_instance(world.settings) as instance:
        job.execute_in_process(
            instance=instance, tags=tags, run_config={"loggers": {"console": {}}}
        )


def _what_is_stale(world: World) -> None:
    with open_instance(world.settings) as instance:
        assets_to_materialize(world.definitions, "all_days", instance, world.days, {})


HISTORY: Mapping[str, Callable[[World], object]] = {
    "ingest": lambda world: _ingest(world, world.days),
    "item_first_sold": lambda world: _first_sold(world, world.days),
    "user_features": lambda world: _user_features(world, world.days),
    "item_features": lambda world: _item_features(world, world.days),
    "training_examples": _all_examples,
    "item history": lambda world: ItemHistory.load(world.store, world.days[-1]),
    "seen items": lambda world: purchased_items(world.store, world.days[-1]),
    "row counts": lambda world: world.store.table("interactions").row_count(world.days),
    "online store": _send_all,
    "Dagster's run of all days": _run_all_days,
    "what is up to date": _what_is_stale,
}
DAY: Mapping[str, Callable[[World], object]] = {
    "ingest": lambda world: _ingest(world, world.newest),
    "item_first_sold": lambda world: _first_sold(world, world.newest),
    "user_features": lambda world: _user_features(world, world.newest),
    "item_features": lambda world: _item_features(world, world.newest),
    "daily_examples": _examples_of_a_day,
    "online store": lambda world: _send(world, world.settings.today),
    "seen items": lambda world: purchased_on(world.store, world.newest),
    "sessions": lambda world: sessions_of(world.store, world.newest),
    "outcomes": lambda world: outcomes(world.store, world.days[-1], _ATTRIBUTION_HOURS),
    "labelled sessions": lambda world: labelled_days(world.store, world.newest, _ATTRIBUTION_HOURS),
}
