"""`summary.json` of a living shop: what its life has shown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus  # not exported by Dagster 1.13

from recsys_assets.defs.graph.jobs import initial_pipeline
from recsys_assets.defs.graph.monitoring.sensors import metadata_of
from recsys_assets.defs.graph.retraining.past_runs import CANDIDATE, REFRESHED
from recsys_assets.features.parity import Parity
from recsys_assets.storage.filesystem import write_atomically
from tools.living_shop.deliveries import Deliveries

# What a run that something of Dagster's has asked for is tagged with.
_ASKED_FOR_BY = (
    "dagster/schedule_name",
    "dagster/sensor_name",
    "dagster/auto_materialize",
    "dagster/retry_number",
)
_TURNED = (InstigatorStatus.RUNNING, InstigatorStatus.STOPPED)
_DAILY_PARITY = dg.AssetCheckKey(dg.AssetKey("online_refresh"), "offline_equals_online")
_MOST_CHECKS = 10_000


def manual_steps(instance: dg.DagsterInstance) -> int:
    """What somebody has done after the first release: runs, and turning schedules or sensors."""
    runs = list(reversed(instance.get_runs()))
    made = next((n for n, run in enumerate(runs) if _made_first_release(run)), len(runs))
    by_hand = [run for run in runs[made + 1 :] if _is_by_hand(run)]
    turned = [state for state in instance.all_instigator_state() if state.status in _TURNED]
    return len(by_hand) + len(turned)


def _is_by_hand(run: dg.DagsterRun) -> bool:
    """Whether no sensor or schedule has asked for it, or somebody had it repeated."""
    repeated = "dagster/parent_run_id" in run.tags and "dagster/retry_number" not in run.tags
    return repeated or not any(tag in run.tags for tag in _ASKED_FOR_BY)


def _made_first_release(run: dg.DagsterRun) -> bool:
    return run.job_name == initial_pipeline.name and run.is_success


def failed_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs that failed or were ended, but for those whose release the gate has rejected."""
    ended = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
    return [run for run in instance.get_runs(ended) if not _made_a_rejected_release(instance, run)]


def _made_a_rejected_release(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    made = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    return any(
        record.asset_materialization is not None
        and record.asset_materialization.asset_key in (CANDIDATE, REFRESHED)
        and metadata_of(record).get("verdict") == "rejected"
        for record in made
    )


def daily_parity(instance: dg.DagsterInstance) -> Parity:
    """What the days' own checks have compared, each time that the online store was refreshed."""
    checks = instance.event_log_storage.get_asset_check_execution_history(
        _DAILY_PARITY, limit=_MOST_CHECKS
    )
    total = Parity()
    for check in checks:
        if check.evaluation is not None:
            counts: dict[str, Any] = {
                name: found.value for name, found in check.evaluation.metadata.items()
            }
            total.compared += counts["compared"]
            total.different += counts["different"]
    return total


def write_summary(
    file: Path,
    instance: dg.DagsterInstance,
    deliveries: Deliveries,
    days: int,
    comparison: Mapping[str, int],
) -> dict[str, int]:
    """Writes and returns the figures.

    Args:
        file: JSON, replaced as a whole.
        instance: of the shop.
        deliveries: of the shop.
        days: that were lived.
        comparison: `compared` and `different` of the computation from scratch; what the days' own
            checks have found is added to them.
    """
    daily = daily_parity(instance)
    summary = {
        "days": days,
        "manual_steps": manual_steps(instance),
        "failed_runs": len(failed_runs(instance)),
        "compared": comparison["compared"] + daily.compared,
        "different": comparison["different"] + daily.different,
        "new_items": len(deliveries.new_items()),
        "withdrawn_items": len(deliveries.withdrawn_items()),
        "late_rows": deliveries.late_rows(),
    }
    write_atomically(file.as_uri(), json.dumps(summary, indent=2).encode())
    return summary
