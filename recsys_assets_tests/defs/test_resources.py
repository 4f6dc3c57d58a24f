"""A run has one today: over midnight, over its steps' processes, and over its retries."""

import uuid
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import pytest

from recsys_assets.definitions import build_definitions
from recsys_assets.defs.resources import TODAY_TAG, RunDays
from recsys_assets.settings import InvalidSetting, load_settings
from recsys_assets_tests.defs.deployment import eks

EVENING = datetime(2024, 8, 3, 23, 59, tzinfo=UTC)
LIVE = {"first_day": "2024-01-01", "evaluation_days": 7}
FIXED = LIVE | {"today": "2024-05-01"}


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def created(instance, moment, **more):
    """A run that was created at a moment and has not begun."""
    run = dg.DagsterRun(job_name="any", run_id=str(uuid.uuid4()), **more)
    return instance.run_storage.add_historical_run(run, moment)


def today_in(run, instance, settings=LIVE):
    days = RunDays(**settings)
    days.setup_for_execution(SimpleNamespace(run=run, instance=instance))
    return days.get().today


def test_a_step_that_begins_after_midnight_has_the_today_of_its_run(instance):
    assert today_in(created(instance, EVENING), instance) == EVENING.date()


def test_a_retry_has_the_today_of_the_first_try(instance):
    first = created(instance, EVENING)
    again = created(
        instance,
        EVENING + timedelta(hours=9),
        root_run_id=first.run_id,
        parent_run_id=first.run_id,
    )

    assert today_in(again, instance) == EVENING.date()
    instance.delete_run(first.run_id)
    assert today_in(again, instance) == date(2024, 8, 4)


def test_the_setting_and_before_it_the_tag_of_a_run_say_its_today(instance):
    tagged = created(instance, EVENING, tags={TODAY_TAG: "2024-04-01"})

    assert today_in(created(instance, EVENING), instance, FIXED) == date(2024, 5, 1)
    assert today_in(tagged, instance, FIXED) == date(2024, 4, 1)


@pytest.mark.parametrize("value", ["yesterday", "2024-01-01"])
def test_a_tag_that_is_no_day_of_the_shop_is_named(instance, value):
    with pytest.raises(InvalidSetting, match=f"{TODAY_TAG}='{value}'"):
        today_in(created(instance, EVENING, tags={TODAY_TAG: value}), instance)


def test_dagster_asks_when_the_run_begins(instance):
    found = []

    @dg.op
    def tells(run_days: RunDays) -> None:
        found.append(run_days.get().today)

    @dg.job(resource_defs={"run_days": RunDays(**LIVE)})
    def telling():
        tells()

    telling.execute_in_process(instance=instance, tags={TODAY_TAG: "2024-04-01"})
    telling.execute_in_process(instance=instance)

    (record,) = instance.get_run_records(limit=1)
    assert found == [date(2024, 4, 1), record.create_timestamp.date()]


def test_definitions_that_stay_loaded_hold_no_today_of_live_data():
    resources = build_definitions(load_settings(eks.ENVIRONMENT)).resources
    today = datetime.now(UTC).date()

    assert resources["run_days"].today is None
    for day in (today - timedelta(days=1), today):
        assert not any(day.isoformat() in str(value) for value in resources.values())
