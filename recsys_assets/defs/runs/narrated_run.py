"""A run in this process that tells a person what it does, from its plan to its cause of failure.

The plan is made of how long each step is expected to take.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.execution.stats import StepEventStatus  # not exported by Dagster 1.13

from recsys_assets.defs.runs.instance import process_tag, run_tags
from recsys_assets.defs.runs.progress import Failures, Narrator, narrated
from recsys_assets.settings import Settings
from recsys_assets.terminal.plan import Plan, Position
from recsys_assets.terminal.screen import Screen

# Seconds by step, measured on MACHINE with `recsys demo`. A step that is not named takes a moment.
MACHINE = "2 cores without a GPU"
MEASURED: dict[str, dict[str, float]] = {
    "complete_journey": {
        "ingest_items": 0.5,
        "ingest_interactions": 8.0,
        "ingest_promotions": 4.5,
        "item_attributes": 0.5,
        "item_text_embeddings": 71.0,
        "item_promotions": 3.6,
        "feature_registry": 6.3,
        "baselines": 23.0,
        "item_first_sold": 29.0,
        "seen_items": 1.3,
        "user_features": 54.0,
        "item_features": 30.0,
        "online_features": 25.0,
        "training_examples": 9.2,
        "boosted_ranker": 102.0,
        "two_tower": 106.0,
        "dlrm": 139.0,
        "item_embeddings": 2.7,
        "item_index": 12.0,
        "evaluation": 33.0,
        "triton_model_repository": 43.0,
        "triton_model_repository_canary_answers": 7.5,
        "promoted_release": 8.6,
    },
    "movielens_100k": {
        "ingest_interactions": 27.0,
        "ingest_promotions": 6.0,
        "item_text_embeddings": 28.0,
        "feature_registry": 27.0,
        "baselines": 4.0,
        "item_first_sold": 114.0,
        "seen_items": 1.0,
        "user_features": 146.0,
        "item_features": 94.0,
        "online_features": 19.0,
        "training_examples": 20.0,
        "two_tower": 270.0,
        "dlrm": 285.0,
        "item_embeddings": 1.0,
        "item_index": 5.0,
        "evaluation": 30.0,
        "triton_model_repository": 1.0,
        "triton_model_repository_canary_answers": 18.0,
        "promoted_release": 15.0,
    },
}
_MOMENT = 0.3
_RUNS = 10  # that are looked at


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


@dataclass(frozen=True)
class Expected:
    """Seconds by step, and the `basis` of it: where a run took as long."""

    seconds: Mapping[str, float]
    basis: str


def plan_of(job: dg.JobDefinition, selection: Sequence[dg.AssetKey], expected: Expected) -> Plan:
    """The steps that materialize a selection of a job's assets, and those that are left out.

    Args:
        job: an asset job.
        selection: keys of assets, each after those it depends on.
        expected: of its steps.
    """
    graph = job.asset_layer.asset_graph
    steps = list(dict.fromkeys(graph.get(key).assets_def.op.name for key in selection))
    nodes = job.get_subset(asset_selection=set(selection)).nodes if selection else []
    checks = sorted({node.name for node in nodes} - set(steps))
    left = job.asset_layer.selected_asset_keys - set(selection)
    return Plan(
        seconds={step: expected.seconds.get(step, _MOMENT) for step in (*steps, *checks)},
        basis=expected.basis,
        checks=frozenset(checks),
        reused=sorted(key.to_user_string() for key in left),
    )


def expect(instance: dg.DagsterInstance, source: str, tags: Mapping[str, str]) -> Expected:
    """What each step took last under the same settings, else what was measured.

    Args:
        instance: where runs are recorded.
        source: whose figures to take for steps that never ran; a shop's own data has none, and
            takes those of Complete Journey.
        tags: run tags that name the settings.
    """
    found: dict[str, float] = {}
    runs = instance.get_runs(dg.RunsFilter(tags=dict(tags)), limit=_RUNS)
    for run in reversed(runs):  # the latest counts
        for step in instance.get_run_step_stats(run.run_id):
            if step.status is StepEventStatus.SUCCESS and step.start_time and step.end_time:
                found[step.step_key] = step.end_time - step.start_time
    measured = MEASURED.get(source, MEASURED["complete_journey"])
    basis = "here the last time" if measured.keys() <= found.keys() else f"on {MACHINE}"
    return Expected({**measured, **found}, basis)
