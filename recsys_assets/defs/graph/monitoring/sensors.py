"""The sensors that start a day's work: once the day is closed, and again once it is put right.

Others collect answers beside it. Each report of a run is read once, and none is left out.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from recsys_assets.defs.graph.monitoring.jobs import DRAIN, LATE
from recsys_assets.defs.monitoring_resources import AnswerStream
from recsys_assets.defs.resources import RunDays, StoreResource, today_of_live
from recsys_assets.features.corrections import Correction, Corrections, IngestedDay
from recsys_assets.monitoring.answer_parts import AnswerParts, day_of
from recsys_assets.monitoring.closed_days import closed_days, days_over

DAILY_LOOP = "daily_loop"
FIRST_RELEASE = "initial_pipeline"
CORRECT_DAYS = "correct_days"
# Of a run that works on days: `dagster.yaml` lets only one of them run at a time.
WORKS_ON_DAYS = {"recsys/works_on_days": "1"}
_EVENTS = ("interactions", "quarantined_interactions")
_FEATURES = (
    *("item_first_sold", "user_features", "item_features"),
    *("daily_examples", "online_refresh"),
)
_JUDGED = ("outcomes", "business_metrics", "drift_report")
# What a correction makes again.
CORRECTED = (*_EVENTS, *_FEATURES, *_JUDGED)
# By these a day is out of date if they are older than the events.
_DERIVED = ("user_features", "item_features", "daily_examples", "outcomes")
_PREPARED = tuple(
    dg.AssetKey(name)
    for name in ("interactions", "user_features", "item_features", "daily_examples")
)
_FOLLOWING = tuple(
    dg.AssetKey(name)
    for name in ("online_refresh", "request_log", "outcomes", "business_metrics", "drift_report")
)
_INTERACTIONS = dg.AssetKey("interactions")
# Made of all days at once, so in parts while it runs.
_BUILDS = (FIRST_RELEASE, CORRECT_DAYS)
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
ONGOING = [status for status in dg.DagsterRunStatus if status not in _ENDED]
# A day's work is repeatable, and what it fails by (a store that restarts) passes.
_RETRY = {"dagster/max_retries": "2", "dagster/retry_on_asset_or_op_failure": "true"}
_PAGE = 500
# Databases with several writers show an event later than one that has a higher id. Reading the
# last ids again finds it, and a report that is known already changes nothing.
_READ_AGAIN = 200


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
    if is_in_progress(instance, DAILY_LOOP):
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


def is_in_progress(instance: dg.DagsterInstance, *jobs: str) -> bool:
    """Whether a run of one of the jobs has not ended."""
    return any(
        instance.get_runs(dg.RunsFilter(job_name=job, statuses=ONGOING), limit=1) for job in jobs
    )


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
    from recsys_assets.storage.online_store import STORE_ERRORS

    try:
        if not answer_stream.are_many():
            return dg.SkipReason("Few answers wait.")
    except STORE_ERRORS as error:  # that it is away others tell
        return dg.SkipReason(f"The online store does not answer: {error}")
    if is_in_progress(context.instance, DRAIN):
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
    if is_in_progress(context.instance, LATE):
        return dg.SkipReason("Late answers are being collected.")
    log, today = store.get().table("request_log"), datetime.now(UTC).date().isoformat()
    waiting = map(day_of, sorted(AnswerParts(store.get()).waiting()))
    days = [day for day in waiting if "" < day < today and log.has(day)]
    requests = [dg.RunRequest(partition_key=day, tags=_RETRY) for day in days]
    return dg.SensorResult(requests) if requests else dg.SkipReason("No answer has come late.")


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


@dg.sensor(
    job_name=CORRECT_DAYS,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has days computed again of which rows came late, or whose events were put right, "
    "with all days after them.",
)
def corrected_days_sensor(
    context: dg.SensorEvaluationContext,
) -> dg.RunRequest | dg.SkipReason:
    """Judges reports of ingested days; the cursor holds all that they have said."""
    instance = context.instance
    if ongoing := _building(instance):
        return dg.SkipReason(f"Days are being worked on: {ongoing}.")
    known = Corrections.from_json(context.cursor)
    known = known.with_reports(_ingest_reports(instance, known.seen))
    context.update_cursor(known.to_json())
    computed = {name: _computed(instance, name) for name in _DERIVED}
    correction = known.due(computed)
    if correction is None:
        return dg.SkipReason("Everything is of the events that there are.")
    return _request(context, correction, computed)


def _building(instance: dg.DagsterInstance) -> str | None:
    """A run that makes many days, whose parts are of different age until it ends."""
    for run in instance.get_runs(dg.RunsFilter(statuses=ONGOING)):
        by_hand = _INTERACTIONS in (run.asset_selection or ())
        if run.job_name in _BUILDS or "dagster/backfill" in run.tags or by_hand:
            return f"{run.job_name} {run.run_id}"
    return None


def _ingest_reports(instance: dg.DagsterInstance, seen: int) -> Iterator[IngestedDay]:
    for record in materializations_since(instance, _INTERACTIONS, seen):
        if record.partition_key is not None:
            yield IngestedDay.read(record.storage_id, record.partition_key, metadata_of(record))


def _computed(instance: dg.DagsterInstance, name: str) -> dict[str, int]:
    """Days of an asset, each with the storage id of its latest materialization."""
    return dict(
        instance.get_latest_storage_id_by_partition(
            dg.AssetKey(name), dg.DagsterEventType.ASSET_MATERIALIZATION
        )
    )


def _request(
    context: dg.SensorEvaluationContext,
    correction: Correction,
    computed: dict[str, dict[str, int]],
) -> dg.RunRequest:
    """What is out of date, but for outcomes of days that had no answers yet.

    Outcomes of the days after these are asked for alone, once the days are right.
    """
    context.log.info(f"{correction.first} to {correction.last}: event {correction.cause}")
    stale, answered = correction.stale, correction.first in computed["outcomes"]
    parts = {
        _EVENTS: correction.ingest,
        _FEATURES: not stale.isdisjoint(_FEATURES),
        _JUDGED: answered and not stale.isdisjoint(_JUDGED),
    }
    return dg.RunRequest(
        run_key=f"{correction.first}:{correction.last}:{correction.cause}",
        job_name=CORRECT_DAYS,
        tags={
            "dagster/asset_partition_range_start": correction.first,
            "dagster/asset_partition_range_end": correction.last,
            "recsys/requested_by": context.sensor_name,
            **_RETRY,
        },
        asset_selection=[dg.AssetKey(name) for part, due in parts.items() if due for name in part],
    )


def materializations_since(
    instance: dg.DagsterInstance, asset: dg.AssetKey, seen: int
) -> Iterator[dg.EventLogRecord]:
    """Materializations after a storage id, in the order of theirs, and some from before it."""
    wanted = dg.AssetRecordsFilter(asset, after_storage_id=max(0, seen - _READ_AGAIN))
    cursor, has_more = None, True
    while has_more:
        page = instance.fetch_materializations(wanted, _PAGE, cursor=cursor, ascending=True)
        yield from page.records
        cursor, has_more = page.cursor, page.has_more


def metadata_of(record: dg.EventLogRecord) -> Mapping[str, Any]:
    """Metadata values of a materialization by name."""
    materialization = record.asset_materialization
    values = materialization.metadata if materialization is not None else {}
    return {name: value.value for name, value in values.items()}
