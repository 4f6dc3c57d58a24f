"""A run in this process that tells a person what it does, from its plan to its cause of failure."""

from collections.abc import Sequence

import dagster as dg

from recsys_assets.definitions import build_definitions
from recsys_assets.expected import expected_seconds, plan_of
from recsys_assets.instance import process_tag, run_tags
from recsys_assets.progress import Failures, Narrator, narrated
from recsys_assets.settings import Settings
from recsys_assets.terminal.plan import Plan, Position
from recsys_assets.terminal.screen import Screen


class RunFailed(RuntimeError):
    """A run has failed; the message says of what, and names what was not run because of it."""

    def __init__(self, failures: Failures, run_id: str) -> None:
        causes = [f"{step} failed: {cause}" for step, cause in failures.causes.items()]
        if failures.not_run:
            causes.append(f"{len(failures.not_run)} steps that need it were not run")
        super().__init__(
            "\n".join(causes) or f"Dagster's run {run_id} failed: `recsys ui` says why"
        )


def plan_run(
    settings: Settings, instance: dg.DagsterInstance, job: str, selection: Sequence[dg.AssetKey]
) -> Plan:
    """The plan of a run that materializes a selection of a job's assets."""
    seconds = expected_seconds(instance, settings.source, run_tags(settings))
    return plan_of(build_definitions(settings), job, selection, seconds)


def run_narrated(
    settings: Settings,
    instance: dg.DagsterInstance,
    job: str,
    selection: Sequence[dg.AssetKey],
    days: Sequence[str],
    screen: Screen,
) -> None:
    """Materializes a selection of a job's assets, the daily ones for all days, on a screen.

    Raises:
        RunFailed: a step, or a check that blocks, has failed.
    """
    plan = plan_run(settings, instance, job, selection)
    for line in plan.lines():
        screen.show(line)
    if not selection:
        return
    narrator = Narrator(screen, Position(plan), plan.checks)
    definitions = build_definitions(settings, console=narrated(narrator))
    screen.doing(f"entering {len(days)} days of each daily asset in Dagster's log")
    with narrator.followed():
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            asset_selection=list(selection),
            raise_on_error=False,
            run_config={"loggers": {"console": {}}},
            tags={
                **run_tags(settings),
                **process_tag(),
                "dagster/asset_partition_range_start": days[0],
                "dagster/asset_partition_range_end": days[-1],
            },
        )
    if not result.success:
        raise RunFailed(narrator.failures, result.run_id)
