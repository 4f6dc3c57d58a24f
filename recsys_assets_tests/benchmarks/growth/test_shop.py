from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from benchmarks.growth.shop import FIRST_DAY, Shop
from recsys_assets.events.ingest import ingest
from recsys_assets.monitoring.outcomes import outcomes
from recsys_assets.storage import Store

SHOP = Shop(users=20, items=30, events_per_day=50)
DAYS = [FIRST_DAY + timedelta(days=n) for n in range(4)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("shop").as_uri())
    SHOP.write_entities(store)
    ingest(SHOP, store, DAYS, pl.Series(SHOP.item_ids), datetime.now(UTC))
    return store


def test_every_day_brings_the_same_number_of_sound_events(store):
    days = [day.isoformat() for day in DAYS]
    for day in days:
        assert store.table("interactions").row_count([day]) == SHOP.events_per_day
        assert store.table("quarantined_interactions").row_count([day]) == 0


def test_a_day_does_not_depend_on_the_days_asked_for_with_it():
    alone = SHOP.interactions([DAYS[2]])

    assert alone.equals(SHOP.interactions(DAYS)[2 * SHOP.events_per_day : -SHOP.events_per_day])


def test_answers_of_the_shop_have_outcomes(store):
    for day in DAYS[-2:]:
        SHOP.write_answers(store, day)

    found = outcomes(store, DAYS[-1].isoformat(), attribution_hours=24)

    assert found.num_rows == SHOP.users
    assert sum(found["orders"].to_pylist()) > 0
