"""A run in this process that tells a person what it does, from its plan to its cause of failure."""

import uuid
from collections.abc import Sequence

import dagster as dg

from recsys_assets.expected import expect, plan_of
from recsys_assets.instance import process_tag, run_tags
from recsys_assets.progress import Failures, Narrator, narrated
from recsys_assets.settings import Settings
from recsys_assets.terminal.plan import Position
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


def run_narrated(
    settings: Settings,
    instance: dg.DagsterInstance,
    job: dg.JobDefinition,
    selection: Sequence[dg.AssetKey],
    days: Sequence[str],
    screen: Screen,
) -> None:
    """Materializes a selection of a job's assets, the daily ones for all days, on a screen.

    Raises:
        RunFailed: a step, or a check that blocks, has failed.
    """
    plan = plan_of(job, selection, expect(instance, settings.source, run_tags(settings)))
    for line in plan.lines():
        screen.show(line)
    if not selection:
        return
    narrator = Narrator(screen, Position(plan), plan.checks)
    screen.doing("entering the days of each daily asset in Dagster's log")
    run_id = str(uuid.uuid4())
    with narrator.followed():
        result = job.with_logger_defs({"console": narrated(narrator)}).execute_in_process(
            instance=instance,
            asset_selection=list(selection),
            raise_on_error=False,
            run_id=run_id,
            run_config={"loggers": {"console": {}}},
            tags={
                **run_tags(settings),
                **process_tag(),
                "dagster/asset_partition_range_start": days[0],
                "dagster/asset_partition_range_end": days[-1],
            },
        )
    if not result.success:
        raise RunFailed(narrator.failures, run_id)
