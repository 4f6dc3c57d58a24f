"""The sensor that starts a day's work once the day is closed."""

from datetime import UTC, datetime

import dagster as dg

from recsys_assets.monitoring.clock import closed_days, days_over
from recsys_assets.resources import RunDays, StoreResource, today_of_live

DAILY_LOOP = "daily_loop"
FIRST_RELEASE = "initial_pipeline"

_PREPARED = tuple(
    dg.AssetKey(name)
    for name in ("interactions", "user_features", "item_features", "daily_examples")
)
_FOLLOWING = tuple(
    dg.AssetKey(name)
    for name in ("online_refresh", "request_log", "outcomes", "business_metrics", "drift_report")
)
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_IN_PROGRESS = dg.RunsFilter(
    job_name=DAILY_LOOP, statuses=[status for status in dg.DagsterRunStatus if status not in _ENDED]
)
# A day's work is repeatable, and what it fails by (a store that restarts) passes.
_RETRY = {"dagster/max_retries": "2", "dagster/retry_on_asset_or_op_failure": "true"}


@dg.sensor(
    job_name=DAILY_LOOP,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the daily loop for each closed day, in order, one at a time. Live days are "
    "closed by the clock, from the first release on.",
)
def closed_day_sensor(
    context: dg.SensorEvaluationContext, store: StoreResource, run_days: RunDays
) -> dg.RunRequest | dg.SkipReason:
    """Looks for the first closed day that no run was started for.

    The cursor is the day up to which there are runs, and how many closed days that is: a day that
    is closed late changes the number, and all days are looked through again.
    """
    instance = context.instance
    closed = sorted({*closed_days(store.get()), *_closed_by_the_clock(instance, run_days)})
    if is_working_on_a_day(instance):
        return dg.SkipReason("A day is being worked on.")
    through, _, count = (context.cursor or " 0").partition(" ")
    if sum(day <= through for day in closed) != int(count):
        through = ""
    for number, day in enumerate(closed, start=1):
        if day <= through:
            continue
        of_day = dg.RunsFilter(job_name=DAILY_LOOP, tags={"dagster/partition": day})
        runs = instance.get_runs(of_day, limit=1)
        if not runs:
            tags = {**_RETRY, "recsys/requested_by": context.sensor_name}
            return dg.RunRequest(
                run_key=day,
                job_name=DAILY_LOOP,
                partition_key=day,
                tags=tags,
                asset_selection=_what_is_left(instance, day),
            )
        if runs[0].is_complete_and_waiting_to_retry:
            return dg.SkipReason(f"{day} failed and is about to be repeated.")
        context.update_cursor(f"{day} {number}")
    return dg.SkipReason("Every closed day was worked on.")


def is_working_on_a_day(instance: dg.DagsterInstance) -> bool:
    """Whether a run of the daily loop has not ended."""
    return bool(instance.get_runs(_IN_PROGRESS, limit=1))


def _closed_by_the_clock(instance: dg.DagsterInstance, run_days: RunDays) -> list[str]:
    """Live days that are over, and not in the history of the newest whole build."""
    built = dg.RunsFilter(job_name=FIRST_RELEASE, statuses=[dg.DagsterRunStatus.SUCCESS])
    if run_days.today is not None or not (runs := instance.get_runs(built, limit=1)):
        return []
    return days_over(today_of_live(runs[0], instance), datetime.now(UTC))


def _what_is_left(instance: dg.DagsterInstance, day: str) -> list[dg.AssetKey] | None:
    """The assets that follow from a day's events and features, if a backfill has made those.

    None, which means the whole job, if it has not.
    """
    made = (instance.get_materialized_partitions(key) for key in _PREPARED)
    return list(_FOLLOWING) if all(day in partitions for partitions in made) else None
