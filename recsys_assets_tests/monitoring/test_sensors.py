"""What of a closed day's work is left to do; that days come in order is tested with the others."""

from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.utils import make_new_run_id

from recsys_assets.definitions import daily_loop, defs
from recsys_assets.monitoring import sensors
from recsys_assets.monitoring.clock import close_day, days_over
from recsys_assets.monitoring.sensors import _FOLLOWING, _PREPARED, closed_day_sensor
from recsys_assets.resources import TODAY_TAG, RunDays, StoreResource
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store

DAY = "2017-10-01"
MADE_BY_A_BACKFILL = ("interactions", "user_features", "item_features", "daily_examples")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def requested(instance, tmp_path, *made):
    close_day(Store(tmp_path.as_uri()), DAY)
    for name in made:
        instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=DAY))
    with dg.build_sensor_context(
        instance=instance,
        definitions=defs,
        sensor_name="closed_day_sensor",
        resources={
            "store": StoreResource(url=tmp_path.as_uri()),
            "run_days": RunDays.from_settings(load_settings()),
        },
    ) as context:
        (request,) = closed_day_sensor.evaluate_tick(context).run_requests
    assert (request.job_name, request.partition_key) == ("daily_loop", DAY)
    return request.asset_selection


def test_a_day_that_nothing_was_made_of_gets_the_whole_job(instance, tmp_path):
    assert requested(instance, tmp_path) is None


@pytest.mark.parametrize("missing", MADE_BY_A_BACKFILL)
def test_a_day_that_something_is_missing_of_gets_the_whole_job(instance, tmp_path, missing):
    made = [name for name in MADE_BY_A_BACKFILL if name != missing]

    assert requested(instance, tmp_path, *made) is None


def test_what_a_backfill_has_made_is_not_made_again(instance, tmp_path):
    chosen = requested(instance, tmp_path, *MADE_BY_A_BACKFILL)

    assert {key.to_user_string() for key in chosen} == {
        *("online_refresh", "request_log", "outcomes", "business_metrics", "drift_report")
    }


def test_what_is_left_and_what_is_made_are_the_days_whole_work():
    job = defs.resolve_job_def(daily_loop.name).asset_layer.selected_asset_keys
    graph = defs.resolve_asset_graph()
    events = {key for key in job if graph.get(key).group_name == "events"}

    once = {key for key in job if graph.get(key).partitions_def is None}
    before = {dg.AssetKey(name) for name in ("item_first_sold",)}
    assert job - events - once - before - set(_PREPARED) == set(_FOLLOWING)


def asked_for(instance, tmp_path, **settings):
    """Days that the sensor asks for, tick by tick, each run ending before the next tick."""
    days, cursor = [], None
    while True:
        with dg.build_sensor_context(
            instance=instance,
            definitions=defs,
            cursor=cursor,
            sensor_name="closed_day_sensor",
            resources={
                "store": StoreResource(url=tmp_path.as_uri()),
                "run_days": RunDays(first_day="2024-01-01", evaluation_days=7, **settings),
            },
        ) as context:
            ticked = closed_day_sensor.evaluate_tick(context)
        cursor = ticked.cursor
        if not ticked.run_requests:
            return days
        days.append(ticked.run_requests[0].partition_key)
        ended(instance, "daily_loop", {"dagster/partition": days[-1]})


def ended(instance, job, tags):
    run = dg.DagsterRun(
        job_name=job, run_id=make_new_run_id(), tags=tags, status=dg.DagsterRunStatus.SUCCESS
    )
    instance.add_run(run)


@pytest.fixture
def noon(monkeypatch):
    """It is noon on 2017-10-04, a day of the definitions' recording."""
    moment = datetime(2017, 10, 4, 12, tzinfo=UTC)
    monkeypatch.setattr(sensors, "days_over", lambda first, _: days_over(first, moment))


def test_live_days_close_by_the_clock_from_the_today_of_the_first_release_on(
    instance, tmp_path, noon
):
    ended(instance, "initial_pipeline", {TODAY_TAG: DAY})

    assert asked_for(instance, tmp_path) == [DAY, "2017-10-02", "2017-10-03"]


def test_live_days_wait_for_the_first_release(instance, tmp_path, noon):
    assert asked_for(instance, tmp_path) == []


def test_days_of_a_recording_do_not_close_by_the_clock(instance, tmp_path, noon):
    ended(instance, "initial_pipeline", {TODAY_TAG: DAY})

    assert asked_for(instance, tmp_path, today=DAY) == []
