"""Spark's snapshots against an independent computation from raw events, value by value."""

import shutil
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

import pytest

from recsys_assets.features.backfill import snapshot_schema
from recsys_assets.features.declarations import (
    DAILY_FEATURE_SETS,
    ITEM_FEATURES,
    ITEM_PROMOTIONS,
    USER_FEATURES,
)
from recsys_assets.features.spark_batch import with_categories
from recsys_assets.settings.days import days_between
from recsys_assets.storage import MissingPartition, Store
from recsys_assets.storage.filesystem import local_path
from recsys_assets_tests.features import naive
from recsys_assets_tests.features.conftest import backfill
from recsys_assets_tests.features.tiny_history import (
    CORRECTED_DAY,
    DAYS,
    FIRST_DAY,
    ITEM_IDS,
    LAST_DAY,
    USERS,
    corrected,
    make_events,
    make_items,
    make_promotions,
    midnight,
    write_events,
)

pytestmark = pytest.mark.integration
ALL_DAYS = days_between(FIRST_DAY, LAST_DAY)


def snapshots(store, features):
    """For each entity: (event_timestamp, values) by time."""
    rows = defaultdict(list)
    for row in store.table(features.name).read(ALL_DAYS).to_pylist():
        moment = row.pop("event_timestamp")
        rows[row.pop(features.key)].append((moment, row))
    return {entity: sorted(found, key=lambda pair: pair[0]) for entity, found in rows.items()}


def as_of(found, moment):
    return next((values for at, values in reversed(found) if at <= moment), None)


def test_every_user_on_every_day(history):
    events = make_events()
    category = {item["item_id"]: item["category_l2"] for item in make_items()}
    found = snapshots(history, USER_FEATURES)
    compared = 0

    for number in range(DAYS):
        day = FIRST_DAY + timedelta(days=number)
        moment = midnight(day + timedelta(days=1))
        for user in USERS:
            expected = naive.user_values(events, category, user, day)
            assert as_of(found[user], moment) == expected, (user, day)
            compared += len(expected or ())

    assert compared > 5_000


def test_every_item_on_every_day(history):
    events = make_events()
    found = snapshots(history, ITEM_FEATURES)
    nothing = naive.item_values([], "", FIRST_DAY)

    for number in range(DAYS):
        day = FIRST_DAY + timedelta(days=number)
        moment = midnight(day + timedelta(days=1))
        for item in ITEM_IDS:
            expected = naive.item_values(events, item, day)
            assert (as_of(found[item], moment) or nothing) == expected, (item, day)


def test_every_promotion_at_any_hour(history):
    promotions, found = make_promotions(), {}
    for row in history.table(ITEM_PROMOTIONS.name).read().to_pylist():
        values = {name: row[name] for name in ITEM_PROMOTIONS.columns}
        found.setdefault(row["item_id"], []).append((row["event_timestamp"], values))
    nothing = {"display": 0.0, "mailer": 0.0}

    for hours in range(-24 * 7, 24 * DAYS):
        moment = midnight(FIRST_DAY) + timedelta(hours=hours)
        for item in [*ITEM_IDS, "never-sold"]:
            expected = naive.promotion_values(promotions, item, moment)
            assert (as_of(found.get(item, []), moment) or nothing) == expected, (item, moment)


def test_no_row_where_nothing_can_have_changed(history):
    events = make_events()
    active = {(e["user_id"], e["timestamp"].date()) for e in events}

    for user, rows in snapshots(history, USER_FEATURES).items():
        for moment, _ in rows:
            day = moment.date() - timedelta(days=1)
            assert any((user, day - timedelta(days=back)) in active for back in (0, 1, 7, 28))


def test_one_more_day_is_the_same_as_all_at_once(history, spark, tmp_path):
    shutil.copytree(local_path(history.url), tmp_path / "store")
    store, last_days = Store((tmp_path / "store").as_uri()), ALL_DAYS[-2:]
    computed = ("item_first_sold", *(features.name for features in DAILY_FEATURE_SETS))
    for table in ("interactions", *computed):
        for day in last_days:
            shutil.rmtree(Path(local_path(store.table(table).path(day))).parent)

    for day in last_days:
        store.table("interactions").write(history.table("interactions").read([day]), day)
        backfill(spark, store, [day])

    for table in computed:
        one, other = (s.table(table).read(last_days) for s in (store, history))
        assert one.equals(other), table


def test_a_day_put_right_gives_what_everything_from_scratch_gives(
    history, corrected_history, spark, tmp_path
):
    shutil.copytree(local_path(history.url), tmp_path / "store")
    store = Store((tmp_path / "store").as_uri())
    write_events(store, corrected(make_events(), CORRECTED_DAY), CORRECTED_DAY)

    backfill(spark, store, days_between(CORRECTED_DAY, LAST_DAY))

    for name in ("item_first_sold", USER_FEATURES.name, ITEM_FEATURES.name):
        for day in ALL_DAYS:
            one, other = (s.table(name).read([day]) for s in (store, corrected_history))
            assert one.equals(other), (name, day)


def test_an_event_counts_in_the_category_that_its_item_was_in_then(spark):
    history = [("tea", date(2017, 1, 5), "old"), ("tea", date(2017, 1, 9), "new")]
    days = {"2017-01-01": "old", "2017-01-08": "old", "2017-01-09": "new", "2017-02-01": "new"}
    events = [("tea", (date.fromisoformat(day) - date(1970, 1, 1)).days) for day in days]
    unknown = [("withdrawn before history", 17_000)]

    joined = with_categories(
        spark.createDataFrame(events + unknown, "item_id string, epoch_day int"),
        spark.createDataFrame(history, "item_id string, seen_from date, category_l2 string"),
    )

    assert joined.columns == ["item_id", "epoch_day", "category_l2"]
    found = {row.epoch_day: row.category_l2 for row in joined.collect()}
    assert found == dict(zip((day for _, day in events), days.values(), strict=True)) | {
        17_000: None
    }


def test_every_day_has_the_declared_schema(history):
    for features in DAILY_FEATURE_SETS:
        for day in ALL_DAYS:
            assert history.table(features.name).read([day]).schema == snapshot_schema(features)


def test_a_missing_day_of_events_stops_the_partition(spark, tmp_path):
    store = Store(tmp_path.as_uri())

    with pytest.raises(MissingPartition, match=r"partition 2017-01-01 of table 'interactions'"):
        backfill(spark, store, ALL_DAYS[:1])


def test_staging_is_left_empty(history):
    from recsys_assets.storage.filesystem import children

    assert children(f"{history.url}/staging") == []
