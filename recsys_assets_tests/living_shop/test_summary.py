import json

import dagster as dg
import pytest

from recsys_assets_tests.living_shop.recorded import PLAN, day, recording, sale
from tools.living_shop.deliveries import Deliveries
from tools.living_shop.summary import failed_runs, manual_steps, write_summary

STARTED = {"dagster/sensor_name": "closed_day_sensor"}


@dg.op(config_schema={"fails": bool})
def work(context):
    if context.op_config["fails"]:
        raise RuntimeError("broken")


@dg.asset
def release_candidate(context: dg.AssetExecutionContext):
    context.add_output_metadata({"verdict": "rejected", "reason": "worse"})


@dg.asset(deps=[release_candidate])
def promoted_release():
    raise RuntimeError("the gate is shut")


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def run(instance, name, *, fails=False, tags=None):
    @dg.job(name=name)
    def job():
        work()

    config = {"ops": {"work": {"config": {"fails": fails}}}}
    return job.execute_in_process(
        run_config=config, instance=instance, tags=tags, raise_on_error=False
    )


def test_what_somebody_runs_after_the_first_release_is_a_manual_step(instance):
    run(instance, "initial_pipeline", fails=True)
    run(instance, "initial_pipeline")
    run(instance, "daily_loop", tags=STARTED)
    assert manual_steps(instance) == 0

    run(instance, "daily_loop")
    assert manual_steps(instance) == 1


@pytest.mark.parametrize(
    ("tags", "steps"),
    [
        ({"dagster/backfill": "by somebody"}, 1),
        ({**STARTED, "dagster/parent_run_id": "repeated by somebody"}, 1),
        ({**STARTED, "dagster/parent_run_id": "by the daemon", "dagster/retry_number": "1"}, 0),
        ({"dagster/auto_materialize": "true", "dagster/backfill": "by the daemon"}, 0),
    ],
)
def test_what_a_sensor_asked_for_is_one_when_somebody_has_it_repeated(instance, tags, steps):
    run(instance, "initial_pipeline")
    run(instance, "daily_loop", tags=tags)

    assert manual_steps(instance) == steps


def test_a_rejected_candidate_is_no_failed_run(instance):
    run(instance, "daily_loop", fails=True, tags=STARTED)
    dg.materialize([release_candidate, promoted_release], instance=instance, raise_on_error=False)

    assert [failed.job_name for failed in failed_runs(instance)] == ["daily_loop"]


def refreshed(compared, different):
    @dg.asset(check_specs=[dg.AssetCheckSpec("offline_equals_online", asset="online_refresh")])
    def online_refresh():
        yield dg.MaterializeResult()
        yield dg.AssetCheckResult(
            passed=not different, metadata={"compared": compared, "different": different}
        )

    return online_refresh


@pytest.mark.parametrize("found", [(), ((40, 0), (40, 3))])
def test_differences_that_a_day_has_found_itself_count(instance, tmp_path, found):
    for compared, different in found:
        dg.materialize([refreshed(compared, different)], instance=instance)

    deliveries = Deliveries(recording(sale(day(0))), PLAN, tmp_path)
    comparison = {"compared": 7, "different": 2}
    summary = write_summary(tmp_path / "summary.json", instance, deliveries, 3, comparison)

    assert summary["compared"] == 7 + sum(compared for compared, _ in found)
    assert summary["different"] == 2 + sum(different for _, different in found)


def test_the_summary_holds_all_figures_and_nothing_else(instance, tmp_path):
    sales = [sale(day(-56), "gone"), sale(day(0)), sale(day(3), "new")]
    deliveries = Deliveries(recording(*sales), PLAN, tmp_path)
    run(instance, "initial_pipeline", fails=True)

    file = tmp_path / "summary.json"
    comparison = {"compared": 7, "different": 2}
    found = write_summary(file, instance, deliveries, PLAN.days, comparison)

    assert json.loads(file.read_text()) == found
    assert found == {
        "days": 4,
        "manual_steps": 0,
        "failed_runs": 1,
        "compared": 7,
        "different": 2,
        "new_items": 1,
        "withdrawn_items": 1,
        "late_rows": deliveries.late_rows(),
    }
