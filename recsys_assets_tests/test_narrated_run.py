import uuid

import dagster as dg

from recsys_assets.narrated_run import RunFailed, counting_plans
from recsys_assets.progress import Failures


def test_a_failed_run_says_its_causes_and_what_was_not_run():
    failures = Failures({"two_tower": "NoGpu: set RECSYS_TRAINING_GPUS=0"}, ["dlrm", "item_index"])

    assert str(RunFailed(failures, "a1b2")) == (
        "two_tower failed: NoGpu: set RECSYS_TRAINING_GPUS=0\n2 steps that need it were not run"
    )


def test_a_run_that_failed_outside_its_steps_is_named():
    assert "run a1b2 failed" in str(RunFailed(Failures(), "a1b2"))


def test_partitions_that_dagster_enters_in_its_log_are_counted():
    daily = dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-02-01")

    @dg.asset(partitions_def=daily, backfill_policy=dg.BackfillPolicy.single_run())
    def events() -> None:
        return None

    @dg.asset(deps=[events])
    def model() -> None:
        return None

    definitions = dg.Definitions([events, model], jobs=[dg.define_asset_job("all_assets", "*")])
    job, run_id, told = definitions.resolve_job_def("all_assets"), str(uuid.uuid4()), []
    listen = counting_plans(job, [events.key, model.key], 3, lambda *counted: told.append(counted))
    tags = {
        "dagster/asset_partition_range_start": "2025-01-01",
        "dagster/asset_partition_range_end": "2025-01-03",
    }
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_event_listener(run_id, listen)
        job.execute_in_process(instance=instance, run_id=run_id, tags=tags)

    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
