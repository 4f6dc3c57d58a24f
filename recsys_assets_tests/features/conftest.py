"""A store in which the feature tables of the tiny history have been computed by Spark."""

from pathlib import Path

import pyarrow as pa
import pytest

from recsys_assets.features.attributes import ATTRIBUTE_TABLES, attribute_rows, change_rows
from recsys_assets.features.backfill import Backfill, backfill_features, backfill_first_times
from recsys_assets.features.declarations import (
    DAILY_FEATURE_SETS,
    ITEM_FEATURES,
    ITEM_PROMOTIONS,
    FirstTime,
)
from recsys_assets.settings.days import days_between
from recsys_assets.storage import Store
from recsys_assets_tests.features.tiny_history import (
    CORRECTED_DAY,
    FIRST_DAY,
    LAST_DAY,
    corrected,
    make_events,
    write_events,
    write_history,
)


def backfill(spark, store: Store, days: list[str]) -> None:
    """All feature tables of a range of days."""
    work = Backfill(store, days, FIRST_DAY)
    (first_sold,) = ITEM_FEATURES.of(FirstTime)
    backfill_first_times(spark, ITEM_FEATURES.key, first_sold, work)
    for features in DAILY_FEATURE_SETS:
        backfill_features(spark, features, work)


@pytest.fixture(scope="session")
def history(spark, tmp_path_factory) -> Store:
    """The tiny history with its features, all days in one go."""
    return _computed(spark, tmp_path_factory.mktemp("history"), make_events())


@pytest.fixture(scope="session")
def corrected_history(spark, tmp_path_factory) -> Store:
    """The same, as if a day had been right from the beginning."""
    right = corrected(make_events(), CORRECTED_DAY)
    return _computed(spark, tmp_path_factory.mktemp("corrected-history"), right)


def _computed(spark, folder: Path, events: pa.Table) -> Store:
    store = Store(folder.as_uri())
    write_history(store)
    write_events(store, events)
    backfill(spark, store, days_between(FIRST_DAY, LAST_DAY))
    store.table(ITEM_PROMOTIONS.name).write(change_rows(store.table("promotions").read()))
    for table, entities in ATTRIBUTE_TABLES.items():
        rows = attribute_rows(entities, store.table(entities).read(), FIRST_DAY)
        store.table(table).write(rows)
    return store
