from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from recsys_assets.defs.graph.retraining.past_runs import missed_retries


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def failed(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    tags = {f"dagster/{name}": value for name, value in tags.items()}
    run = dg.DagsterRun("fine_tune", status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.add_run(run)
    instance.report_run_failed(run)
    return run


def now(later_by: int = 0) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=later_by)


def test_a_run_that_waits_for_longer_than_dagster_takes_was_passed_over(instance):
    run = failed(instance, will_retry="true")
    assert missed_retries(instance, now()) == []
    assert [found.run_id for found in missed_retries(instance, now(later_by=60))] == [run.run_id]


def test_one_that_was_repeated_or_is_not_to_be_was_not(instance):
    failed(instance)
    failed(instance, will_retry="false")
    failed(instance, will_retry="true", auto_retry_run_id="another")
    assert missed_retries(instance, now(later_by=60)) == []
