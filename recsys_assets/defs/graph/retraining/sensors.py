"""Sensors that read reports and start runs. What follows from a report is in `policy.py`.

A sensor decides anew at each tick, from all that its cursor has seen and from the runs there are.
So a decision that had to wait is made later, one whose run was never created is made again, and
one whose run exists is not.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from recsys_assets.defs.graph.monitoring.sensors import (
    CORRECT_DAYS,
    DAILY_LOOP,
    is_in_progress,
    materializations_since,
    metadata_of,
)
from recsys_assets.defs.graph.retraining.past_runs import (
    CANDIDATE,
    REFRESHED,
    REPORT_TAG,
    REQUESTED_BY_TAG,
    TRAINS,
    WEIGHTS_TAG,
    missed_retries,
    recent_candidates,
    recent_refreshes,
    recent_trainings,
)
from recsys_assets.defs.resources import StoreResource
from recsys_assets.defs.retraining_resources import AlertHookResource, RetrainingPolicy
from recsys_assets.retraining import policy
from recsys_assets.retraining.alerts import CANDIDATE_REJECTED, RUN_FAILED, Alert
from recsys_assets.retraining.evidence import Evidence, Report, UnreadableReport
from recsys_assets.retraining.policy import FINE_TUNE, FULL_RETRAIN, Decision, TriggerPolicy

if TYPE_CHECKING:
    from recsys_assets.releases.release import Releases

ROLLBACK = "rollback_release"
REFRESH = "refresh_release"
TOLD_AGAIN = "The run was to be repeated, which has not happened: its failure is reported again."

_DRIFT_REPORT = dg.AssetKey("drift_report")
_BUSINESS_METRICS = dg.AssetKey("business_metrics")
_ONLINE_REFRESH = dg.AssetKey("online_refresh")
# A run whose process was killed is started once more. What its code reports is for a person.
_RETRY_CRASHES = {"dagster/max_retries": "1", "dagster/retry_on_asset_or_op_failure": "false"}
_URGENT = {"dagster/priority": "10"}

_SECONDS = 5
_RECENT_RUNS = 50
_REFRESH_TRIES, _REFRESH_PAUSE_SECONDS = 3, 600.0

_sensor = partial(
    dg.sensor,
    minimum_interval_seconds=_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)


@_sensor(
    job_name=FINE_TUNE,
    description="Starts a fine-tune when enough of the last days drifted.",
)
def drift_sensor(
    context: dg.SensorEvaluationContext, retraining_policy: RetrainingPolicy
) -> dg.RunRequest | dg.SkipReason:
    """Judges reports of drift."""
    return _fine_tune(context, retraining_policy.get(), _read_reports(context, _DRIFT_REPORT))


@_sensor(
    job_name=FINE_TUNE,
    description=(
        "Starts a fine-tune when business metrics fall on enough of the last days. The first days "
        "of a release are left to business_guard."
    ),
)
def business_sensor(
    context: dg.SensorEvaluationContext, retraining_policy: RetrainingPolicy
) -> dg.RunRequest | dg.SkipReason:
    """Judges business metrics."""
    evidence, rules = _read_reports(context, _BUSINESS_METRICS), retraining_policy.get()
    if policy.is_new_release(rules, evidence):
        return dg.SkipReason("The release is new: left to business_guard.")
    return _fine_tune(context, rules, evidence)


@_sensor(
    job_name=ROLLBACK,
    description="Rolls a release back when business metrics fall on enough of its first days.",
)
def business_guard(
    context: dg.SensorEvaluationContext, retraining_policy: RetrainingPolicy
) -> dg.RunRequest | dg.SkipReason:
    """Judges business metrics of a new release."""
    evidence = _read_reports(context, _BUSINESS_METRICS)
    runs = context.instance.get_runs(dg.RunsFilter(job_name=ROLLBACK), limit=_RECENT_RUNS)
    rolled_back = [int(run.tags[REPORT_TAG]) for run in runs if REPORT_TAG in run.tags]
    decision = policy.rollback(retraining_policy.get(), evidence, rolled_back)
    if decision.report is None:
        return dg.SkipReason(decision.why)
    config = {"reason": decision.why, "expected_release": decision.report.live_release}
    return dg.RunRequest(
        run_key=_run_key(decision, decision.report),
        job_name=ROLLBACK,
        run_config={"ops": {"rollback": {"config": config}}},
        tags=_tags(context, decision, decision.report) | _URGENT,
    )


@_sensor(
    job_name=FULL_RETRAIN,
    description="Trains everything anew at an interval, and when fine-tunes keep being rejected.",
)
def retrain_sensor(
    context: dg.SensorEvaluationContext, retraining_policy: RetrainingPolicy
) -> dg.RunRequest | dg.SkipReason:
    """Judges the time since everything was trained, and what the gate said since."""
    evidence = _read_reports(context, _DRIFT_REPORT)
    decision = policy.full_retrain(
        retraining_policy.get(),
        evidence,
        recent_trainings(context.instance),
        recent_candidates(context.instance),
    )
    return _training_request(context, FULL_RETRAIN, decision)


@_sensor(
    job_name=REFRESH,
    description="Puts the live weights over newer data once the online store holds a later day.",
)
def refresh_sensor(
    context: dg.SensorEvaluationContext, store: StoreResource
) -> dg.RunRequest | dg.SkipReason:
    """Compares the day of the live release's data with the last one that was refreshed."""
    from recsys_assets.releases.release import Releases
    from recsys_assets.retraining.gate import nothing_newer

    releases = Releases(store.get())
    live = releases.promoted()
    if live is None:
        return dg.SkipReason("Nothing is promoted yet.")
    day = max(context.instance.get_materialized_partitions(_ONLINE_REFRESH), default="")
    reason = nothing_newer(releases, live.release, day) if day else "No day has been refreshed yet."
    if reason:
        return dg.SkipReason(reason)
    if is_in_progress(context.instance, DAILY_LOOP, CORRECT_DAYS):
        return dg.SkipReason("A day is being worked on, or put right.")
    weights = releases.weights_of(live.release)
    tried = recent_refreshes(context.instance, REFRESH, day, weights)
    if why_not := _not_again(releases, tried):
        return dg.SkipReason(why_not)
    tags = {
        "recsys/why": f"data through {day}",
        REQUESTED_BY_TAG: context.sensor_name,
        WEIGHTS_TAG: str(weights),
        **_RETRY_CRASHES,
    }
    run_key = ":".join(map(str, (weights, day, *([len(tried)] if tried else []))))
    return dg.RunRequest(run_key=run_key, job_name=REFRESH, partition_key=day, tags=tags)


def _not_again(releases: "Releases", tried: Sequence[dg.RunRecord]) -> str:
    """Why weights are not put over the data of a day after these tries, newest first; or "".

    What was rejected would be so again. What failed otherwise, as a promotion does while a server
    does not answer, may succeed later.
    """
    if not tried:
        return ""
    run, ended = tried[0].dagster_run, tried[0].end_time or 0.0
    if not run.is_finished or run.is_complete_and_waiting_to_retry:
        return "The refresh is being made."
    if run.is_success:
        return "The refresh was made."
    made = releases.made_by(run.run_id, run.root_run_id)
    if made is not None and releases.rejection(made) is not None:
        return f"The refresh, release {made}, was rejected."
    if len(tried) >= _REFRESH_TRIES:
        return f"The refresh has failed {len(tried)} times; the next day is another matter."
    if datetime.now(UTC).timestamp() < ended + _REFRESH_PAUSE_SECONDS:
        return "The refresh has failed; it is tried again later."
    return ""


@_sensor(
    minimum_interval_seconds=30,  # it leaves the daemon as long
    description="Has failed runs repeated that Dagster's daemon has passed over.",
)
def passed_over_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Reports the failure of such runs once more, which the daemon then acts on."""
    runs = missed_retries(context.instance, datetime.now(UTC))
    for run in runs:
        context.log.warning(f"{run.job_name} {run.run_id} was not repeated: reported again")
        context.instance.report_run_failed(run, TOLD_AGAIN)
    return dg.SkipReason(f"{len(runs)} runs passed over.")


@dg.run_failure_sensor(
    minimum_interval_seconds=_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Raises an alert for each run that fails; a rejected candidate is named as such.",
)
def run_failure_alert(context: dg.RunFailureSensorContext, alerts: AlertHookResource) -> None:
    """Sends one alert a failed run."""
    if context.failure_event.message == TOLD_AGAIN:
        return
    run = context.dagster_run
    day = run.tags.get("dagster/partition", "")
    rejection = _rejection(context)
    error = "\n".join(_errors(context))
    subject = f"{run.job_name} of {day}" if day else run.job_name
    alerts.get().send(
        Alert(
            kind=CANDIDATE_REJECTED if rejection else RUN_FAILED,
            text=f"{subject}: {rejection or error.partition(chr(10))[0]}",
            detail=error,
            job=run.job_name,
            run_id=run.run_id,
            day=day,
            cause=run.tags.get("recsys/cause", ""),
        )
    )


def _rejection(context: dg.RunFailureSensorContext) -> str:
    """Which gates the release of the run did not pass and why, or "" if it failed otherwise."""
    records = context.instance.get_records_for_run(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    events = [record.event_log_entry.get_dagster_event() for record in records]
    return "; ".join(
        f"rejected by {found.check_name}: {_reason(found)}"
        for found in (event.asset_check_evaluation_data for event in events)
        if found.asset_key in (CANDIDATE, REFRESHED) and found.blocking and not found.passed
    )


def _reason(found: dg.AssetCheckEvaluation) -> str:
    """What a check of a candidate gives as its reason: a sentence, or a list of faults."""
    values = (found.metadata[name].value for name in ("reason", "faults") if name in found.metadata)
    reason = next(values, found.description or "no reason given")
    return ", ".join(map(str, reason)) if isinstance(reason, list) else str(reason)


def _errors(context: dg.RunFailureSensorContext) -> Iterator[str]:
    """What the run says of its failure, then the root cause of each step that failed."""
    yield context.failure_event.message or "the run failed"
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        yield f"{event.step_key}: {error.message.strip() if error is not None else event.message}"


def _fine_tune(
    context: dg.SensorEvaluationContext, rules: TriggerPolicy, evidence: Evidence
) -> dg.RunRequest | dg.SkipReason:
    trainings = recent_trainings(context.instance)
    decision = policy.fine_tune(rules, evidence, trainings, context.sensor_name)
    return _training_request(context, FINE_TUNE, decision)


def _training_request(
    context: dg.SensorEvaluationContext, job: str, decision: Decision
) -> dg.RunRequest | dg.SkipReason:
    if decision.report is None:
        return dg.SkipReason(decision.why)
    context.log.info(f"{job} of {decision.report.day}: {decision.why}")
    return dg.RunRequest(
        run_key=_run_key(decision, decision.report),
        job_name=job,
        partition_key=decision.report.day,
        tags=_tags(context, decision, decision.report) | TRAINS,
    )


def _run_key(decision: Decision, report: Report) -> str:
    """Names the event acted on, so that a day which is measured anew is another key."""
    return f"{report.day}:{decision.event}"


def _tags(
    context: dg.SensorEvaluationContext, decision: Decision, report: Report
) -> dict[str, str]:
    return {
        "recsys/cause": decision.cause,
        "recsys/why": decision.why,
        "recsys/cause_day": report.day,
        REPORT_TAG: str(decision.event),
        REQUESTED_BY_TAG: context.sensor_name,
        **_RETRY_CRASHES,
    }


def _read_reports(context: dg.SensorEvaluationContext, asset: dg.AssetKey) -> Evidence:
    """All that is known, with the reports that have come in since the last tick."""
    evidence = Evidence.from_json(context.cursor)
    records = materializations_since(context.instance, asset, evidence.seen)
    evidence = evidence.with_reports(_reports(context, records))
    context.update_cursor(evidence.to_json())
    return evidence


def _reports(
    context: dg.SensorEvaluationContext, records: Iterable[dg.EventLogRecord]
) -> Iterator[Report]:
    for record in records:
        try:
            yield Report.read(record.storage_id, record.partition_key, metadata_of(record))
        except UnreadableReport as error:
            # One that cannot be read must not keep the others from being acted on.
            context.log.error(f"{record.asset_key}: {error}")
