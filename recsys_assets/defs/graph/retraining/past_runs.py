"""What was trained so far, and how far it got, by Dagster's own records."""

from datetime import datetime, timedelta

import dagster as dg

from recsys_assets.defs.graph.monitoring.sensors import ONGOING, metadata_of
from recsys_assets.retraining.evidence import JudgedCandidate, Training
from recsys_assets.retraining.policy import FINE_TUNE, FULL_RETRAIN

CANDIDATE = dg.AssetKey("release_candidate")
REFRESHED = dg.AssetKey("refreshed_release")
REPORT_TAG = "recsys/report"
REQUESTED_BY_TAG = "recsys/requested_by"
WEIGHTS_TAG = "recsys/weights"
# Of a run that trains: `dagster.yaml` lets only one of them run at a time.
TRAINS = {"recsys/trains": "1"}

_TRAINED = {
    dg.AssetKey(name)
    for name in ("finetuned_query_tower", "finetuned_dlrm", "retrained_two_tower", "retrained_dlrm")
}
_IN_PROGRESS = dg.RunsFilter(statuses=ONGOING)
_RECENT = 50
# Dagster looks every five seconds, and repeating a run that it already repeats changes nothing.
_REPEATED_WITHIN = timedelta(seconds=30)


def recent_trainings(instance: dg.DagsterInstance) -> list[Training]:
    """The last trainings of both jobs, and those of their assets that a person runs right now."""
    judged = {record.run_id for record in _candidate_records(instance)}
    by_hand = [
        run
        for run in instance.get_runs(_IN_PROGRESS)
        if _TRAINED & (run.asset_selection or frozenset())
    ]
    runs = [*_runs(instance, FINE_TUNE), *_runs(instance, FULL_RETRAIN), *by_hand]
    return [_training(run, run.run_id in judged) for run in runs]


def recent_candidates(instance: dg.DagsterInstance) -> list[JudgedCandidate]:
    """What the gate has ruled on last, oldest first."""
    full_retrains = {run.run_id for run in _runs(instance, FULL_RETRAIN)}
    return [
        JudgedCandidate(
            event=record.storage_id,
            better=metadata_of(record).get("verdict") != "rejected",
            full_retrain=record.run_id in full_retrains,
        )
        for record in reversed(_candidate_records(instance))
    ]


def recent_refreshes(
    instance: dg.DagsterInstance, job: str, day: str, weights: int
) -> list[dg.RunRecord]:
    """What the sensor has asked for to put weights over the data of a day, newest first."""
    tags = {"dagster/partition": day, WEIGHTS_TAG: str(weights)}
    return list(instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=_RECENT))


def missed_retries(instance: dg.DagsterInstance, now: datetime) -> list[dg.DagsterRun]:
    """Failed runs that Dagster was to repeat and has passed over, as far as `now` can tell.

    Dagster's daemon learns from an event that a run has failed, and decides by the run whether to
    repeat it. The event is stored a moment before the run counts as failed. A daemon that looks in
    between does not repeat the run and never looks at it again, while the run says that it will be
    repeated: whatever waits for that would wait for ever. A large deployment missed 54 of 24,112
    repetitions (https://github.com/dagster-io/dagster/issues/33741).
    """
    waiting = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={"dagster/will_retry": "true"},
        updated_before=now - _REPEATED_WITHIN,
    )
    runs = instance.get_runs(waiting, limit=_RECENT)
    return [run for run in runs if run.is_complete_and_waiting_to_retry]


def _candidate_records(instance: dg.DagsterInstance) -> list[dg.EventLogRecord]:
    """Newest first."""
    return list(instance.fetch_materializations(CANDIDATE, _RECENT).records)


def _runs(instance: dg.DagsterInstance, job: str) -> list[dg.DagsterRun]:
    return list(instance.get_runs(dg.RunsFilter(job_name=job), limit=_RECENT))


def _training(run: dg.DagsterRun, judged: bool) -> Training:
    report = run.tags.get(REPORT_TAG)
    return Training(
        job=run.job_name,
        day=run.tags.get("dagster/partition", ""),
        requested_by=run.tags.get(REQUESTED_BY_TAG, ""),
        report=int(report) if report is not None else None,
        ongoing=not run.is_finished or run.is_complete_and_waiting_to_retry,
        judged=judged or run.is_success,
    )
