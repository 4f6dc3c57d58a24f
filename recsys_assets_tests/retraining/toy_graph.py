"""The graph as sensors see it: the same names of assets and jobs, and nothing behind them.

`RECSYS_HOME` is where its store and alerts are, and where a test leaves words for its runs:
`verdict` holds what the gate says ("better" unless given), a training waits while `hold` exists,
and writes its pid to `training.pid`.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from recsys_assets.definitions import defs
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets.defs.retraining_resources import AlertHookResource, RetrainingPolicy
from recsys_assets.settings import load_settings

DAYS = dg.DailyPartitionsDefinition("2017-10-01", end_date="2020-12-31")
# They read an online store, and nothing is served here.
OF_ANSWERS = ("answers_sensor", "late_answers_sensor")
REPORTS = [dg.AssetSpec(name, partitions_def=DAYS) for name in ("drift_report", "business_metrics")]


def _home() -> Path:
    return load_settings().home


@dg.asset(partitions_def=DAYS)
def finetuned_query_tower() -> None:
    (_home() / "training.pid").write_text(str(os.getpid()))
    while (_home() / "hold").exists():
        time.sleep(0.05)


@dg.asset(
    partitions_def=DAYS,
    deps=[finetuned_query_tower],
    check_specs=[dg.AssetCheckSpec("beats_live", asset="release_candidate", blocking=True)],
)
def release_candidate(
    context: dg.AssetExecutionContext,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    verdict = _home() / "verdict"
    said = verdict.read_text() if verdict.exists() else "better"
    if said == "crash":
        raise RuntimeError("the disk is full")
    context.add_asset_metadata({"verdict": said}, context.asset_key, context.partition_key)
    yield dg.MaterializeResult()
    yield dg.AssetCheckResult(
        check_name="beats_live",
        passed=said == "better",
        metadata={"reason": "ndcg_at_10 fell by 0.0010"},
    )


@dg.asset(
    partitions_def=DAYS,
    check_specs=[dg.AssetCheckSpec("canary_answers", asset="refreshed_release", blocking=True)],
)
def refreshed_release() -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    yield dg.MaterializeResult()
    yield dg.AssetCheckResult(
        check_name="canary_answers", passed=False, metadata={"faults": ["an item appears twice"]}
    )


@dg.asset(deps=[release_candidate, refreshed_release])
def promoted_release() -> None: ...


@dg.op
def work() -> None: ...


@dg.op(config_schema={"reason": str, "expected_release": int})
def rollback() -> None: ...


@dg.job(partitions_def=DAYS)
def daily_loop() -> None:
    work()


@dg.job(partitions_def=DAYS)
def correct_days() -> None:
    work()


@dg.job
def rollback_release() -> None:
    rollback()


TRAINED = dg.AssetSelection.assets("finetuned_query_tower", "release_candidate", "promoted_release")


REFRESHED = dg.AssetSelection.assets("refreshed_release", "promoted_release")


def resources() -> dict[str, dg.ConfigurableResource]:
    settings = load_settings()
    return {
        "store": StoreResource(url=settings.storage_url),
        "run_days": RunDays.from_settings(settings),
        "retraining_policy": RetrainingPolicy.from_settings(settings),
        "alerts": AlertHookResource.from_settings(settings),
    }


def definitions() -> dg.Definitions:
    return dg.Definitions(
        assets=[
            *REPORTS,
            finetuned_query_tower,
            release_candidate,
            refreshed_release,
            promoted_release,
        ],
        jobs=[
            daily_loop,
            correct_days,
            rollback_release,
            dg.define_asset_job("fine_tune", TRAINED),
            dg.define_asset_job("full_retrain", TRAINED),
            dg.define_asset_job("refresh_release", REFRESHED),
        ],
        sensors=[sensor for sensor in defs.sensors if sensor.name not in OF_ANSWERS],
        resources=resources(),
        executor=dg.in_process_executor,
    )
