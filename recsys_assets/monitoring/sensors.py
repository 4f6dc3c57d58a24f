"""The sensors that start a day's work once it is closed, and collect answers beside it."""

from datetime import UTC, datetime

import dagster as dg

from recsys_assets.monitoring.answer_parts import Parts, day_of
from recsys_assets.monitoring.clock import closed_days
from recsys_assets.monitoring.configuration import AnswerStream
from recsys_assets.monitoring.jobs import DRAIN, LATE
from recsys_assets.resources import StoreResource

DAILY_LOOP = "daily_loop"

_PREPARED = tuple(
    dg.AssetKey(name)
    for name in ("interactions", "user_features", "item_features", "daily_examples")
)
_FOLLOWING = tuple(
    dg.AssetKey(name)
    for name in ("online_refresh", "request_log", "outcomes", "business_metrics", "drift_report")
)
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
# A day's work is repeatable, and what it fails by (a store that restarts) passes.
_RETRY = {"dagster/max_retries": "2", "dagster/retry_on_asset_or_op_failure": "true"}


@dg.sensor(
    job_name=DAILY_LOOP,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the daily loop for each closed day, in order, one at a time.",
)
def closed_day_sensor(
    context: dg.SensorEvaluationContext, store: StoreResource
) -> dg.RunRequest | dg.SkipReason:
    """Looks for the first closed day that no run was started for.

    The cursor is the day up to which there are runs, and how many closed days that is: a day that
    is closed late changes the number, and all days are looked through again.
    """
    instance, closed = context.instance, closed_days(store.get())
    if instance.get_runs(_in_progress(DAILY_LOOP), limit=1):
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


@dg.sensor(
    job_name=DRAIN,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Empties the stream of answers into files whenever it has grown.",
)
def answers_sensor(
    context: dg.SensorEvaluationContext, answer_stream: AnswerStream
) -> dg.RunRequest | dg.SkipReason:
    """Asks the online store how many wait, and nothing else."""
    import redis

    try:
        if not answer_stream.are_many():
            return dg.SkipReason("Few answers wait.")
    except redis.RedisError as error:  # that it is away others tell
        return dg.SkipReason(f"The online store does not answer: {error}")
    if context.instance.get_runs(_in_progress(DRAIN), limit=1):
        return dg.SkipReason("They are being collected.")
    return dg.RunRequest(job_name=DRAIN, tags=_RETRY)


@dg.sensor(
    job_name=LATE,
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Collects a day again once answers to requests of it have come late.",
)
def late_answers_sensor(
    context: dg.SensorEvaluationContext, store: StoreResource
) -> dg.SensorResult | dg.SkipReason:
    """Looks for answers that wait for a day whose partition is there already."""
    if context.instance.get_runs(_in_progress(LATE), limit=1):
        return dg.SkipReason("Late answers are being collected.")
    log, today = store.get().table("request_log"), datetime.now(UTC).date().isoformat()
    waiting = map(day_of, sorted(Parts(store.get()).waiting()))
    days = [day for day in waiting if "" < day < today and log.has(day)]
    requests = [dg.RunRequest(partition_key=day, tags=_RETRY) for day in days]
    return dg.SensorResult(requests) if requests else dg.SkipReason("No answer has come late.")


def _in_progress(job_name: str) -> dg.RunsFilter:
    going_on = [status for status in dg.DagsterRunStatus if status not in _ENDED]
    return dg.RunsFilter(job_name=job_name, statuses=going_on)


def _what_is_left(instance: dg.DagsterInstance, day: str) -> list[dg.AssetKey] | None:
    """The assets that follow from a day's events and features, if a backfill has made those.

    None, which means the whole job, if it has not.
    """
    made = (instance.get_materialized_partitions(key) for key in _PREPARED)
    return list(_FOLLOWING) if all(day in partitions for partitions in made) else None
