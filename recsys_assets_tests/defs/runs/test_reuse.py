"""Which assets of a small graph are made again, and why."""

import uuid
from datetime import timedelta

import dagster as dg
import pytest

from recsys_assets.defs.resources import TODAY_TAG
from recsys_assets.defs.runs.reuse import as_begun, assets_to_materialize
from recsys_assets.settings import load_settings

DAYS = ["2017-01-01", "2017-01-02", "2017-01-03"]
SETTINGS = {"recsys/today": "2017-01-04"}


def graph(code_version="1", checks_pass=True, check_breaks=False):
    daily = dg.DailyPartitionsDefinition("2017-01-01", end_date="2017-02-01")

    @dg.asset(partitions_def=daily, backfill_policy=dg.BackfillPolicy.single_run())
    def events() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    @dg.asset(deps=[events], code_version=code_version)
    def model() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    @dg.asset(deps=[model])
    def release() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    @dg.asset_check(asset=model, blocking=True)
    def better() -> dg.AssetCheckResult:
        if check_breaks:
            raise ValueError("the check itself")
        return dg.AssetCheckResult(passed=checks_pass)

    return dg.Definitions(
        [events, model, release],
        asset_checks=[better],
        jobs=[dg.define_asset_job("all_assets", "*")],
        executor=dg.in_process_executor,
    )


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run(definitions, instance, days=DAYS, settings=SETTINGS):
    tags = {
        "dagster/asset_partition_range_start": days[0],
        "dagster/asset_partition_range_end": days[-1],
        **settings,
    }
    job = definitions.resolve_job_def("all_assets")
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def names(definitions, instance, days=DAYS, settings=SETTINGS):
    keys = assets_to_materialize(definitions, "all_assets", instance, days, settings)
    return [key.to_user_string() for key in keys]


def test_everything_is_made_at_first(instance):
    assert names(graph(), instance) == ["events", "model", "release"]


def test_nothing_is_made_twice(instance):
    run(graph(), instance)

    assert names(graph(), instance) == []


def test_a_missing_day_is_made_with_all_that_follows(instance):
    run(graph(), instance, DAYS[:2])

    assert names(graph(), instance) == ["events", "model", "release"]


def test_days_after_the_range_make_nothing_old(instance):
    definitions = graph()
    run(definitions, instance)
    definitions.resolve_job_def("all_assets").execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey("events")],
        tags={
            "dagster/asset_partition_range_start": "2017-01-04",
            "dagster/asset_partition_range_end": "2017-01-05",
            **SETTINGS,
        },
    )

    assert names(definitions, instance) == []


def test_a_day_of_the_range_that_is_made_again_makes_what_follows_old(instance):
    definitions = graph()
    run(definitions, instance)
    definitions.resolve_job_def("all_assets").execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey("events")],
        partition_key=DAYS[1],
        tags=SETTINGS,
    )

    assert names(definitions, instance) == ["model", "release"]


def test_new_code_is_run_with_all_that_follows(instance):
    run(graph("1"), instance)

    assert names(graph("2"), instance) == ["model", "release"]


def test_other_settings_make_other_assets(instance):
    run(graph(), instance)

    assert names(graph(), instance, settings={"recsys/today": "2017-01-05"}) == [
        "events",
        "model",
        "release",
    ]


def test_a_newer_upstream_makes_what_follows_old(instance):
    definitions = graph()
    run(definitions, instance)
    definitions.resolve_job_def("all_assets").execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey("model")], tags=SETTINGS
    )

    assert names(definitions, instance) == ["release"]


def test_what_a_blocking_check_rejected_is_made_again(instance):
    assert not run(graph(checks_pass=False), instance).success

    assert names(graph(), instance) == ["model", "release"]


def test_what_a_blocking_check_never_ruled_on_is_made_again(instance):
    assert not run(graph(check_breaks=True), instance).success

    assert names(graph(), instance) == ["model", "release"]


def test_what_the_daemon_has_made_since_then_stands(instance):
    definitions = graph()
    run(definitions, instance)
    definitions.resolve_job_def("all_assets").execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey("release")]
    )

    assert names(definitions, instance) == []


def test_a_change_by_hand_stands_although_no_run_has_made_it(instance):
    definitions = graph()
    run(definitions, instance)
    for name in ("model", "release"):
        instance.report_runless_asset_event(dg.AssetMaterialization(name))

    assert names(definitions, instance) == []


LIVE = {
    "RECSYS_SOURCE": "parquet",
    "RECSYS_SOURCE_URL": "/shop",
    "RECSYS_FIRST_DAY": "2017-01-01",
}


def recorded(instance, today, status):
    """A run of yesterday's or another day, that has ended so."""
    run = dg.DagsterRun(
        job_name="all_assets",
        run_id=str(uuid.uuid4()),
        tags={TODAY_TAG: today.isoformat()},
        status=status,
    )
    instance.run_storage.add_run(run)


@pytest.mark.parametrize(
    ("days_ago", "status", "gone_on_with"),
    [
        (1, dg.DagsterRunStatus.FAILURE, True),
        (1, dg.DagsterRunStatus.CANCELED, True),
        (1, dg.DagsterRunStatus.SUCCESS, False),
        (2, dg.DagsterRunStatus.FAILURE, False),
    ],
)
def test_what_was_begun_before_midnight_is_gone_on_with(instance, days_ago, status, gone_on_with):
    settings = load_settings(LIVE)
    begun = settings.today - timedelta(days=days_ago)
    recorded(instance, begun, status)

    found = as_begun(settings, "all_assets", instance, {})

    assert found.today == (begun if gone_on_with else settings.today)


def test_a_today_that_is_set_stays(instance):
    settings = load_settings(LIVE | {"RECSYS_TODAY": "2017-02-01"})
    recorded(instance, settings.history_through, dg.DagsterRunStatus.FAILURE)

    assert as_begun(settings, "all_assets", instance, {}) is settings
