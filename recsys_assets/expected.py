"""How long each step of a run is expected to take, and the plan made of it."""

from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.execution.stats import StepEventStatus

from recsys_assets.terminal.plan import Plan

# Seconds by step, measured on MACHINE with `recsys demo`. A step that is not named takes a moment.
MACHINE = "2 cores, no GPU, 24 GiB, other work beside it"
MEASURED: dict[str, dict[str, float]] = {
    "complete_journey": {
        "ingest_interactions": 42.0,
        "ingest_promotions": 25.0,
        "item_text_embeddings": 409.0,
        "item_promotions": 19.0,
        "feature_registry": 37.0,
        "baselines": 141.0,
        "item_first_sold": 148.0,
        "user_features": 200.0,
        "item_features": 125.0,
        "online_features": 42.0,
        "training_examples": 153.0,
        "two_tower": 348.0,
        "dlrm": 480.0,
        "item_index": 30.0,
        "evaluation": 60.0,
    },
    "movielens_100k": {"two_tower": 60.0, "dlrm": 40.0},
}
_MOMENT = 0.3
_RUNS = 10  # that are looked at


def plan_of(
    definitions: dg.Definitions,
    job: str,
    selection: Sequence[dg.AssetKey],
    seconds: Mapping[str, float],
) -> Plan:
    """The steps that materialize a selection of a job's assets, and those that are left out.

    Args:
        definitions: the asset graph.
        job: name of an asset job.
        selection: keys of assets, each after those it depends on.
        seconds: expected, by step.
    """
    graph, whole = definitions.resolve_asset_graph(), definitions.resolve_job_def(job)
    steps = list(dict.fromkeys(graph.get(key).assets_def.op.name for key in selection))
    nodes = whole.get_subset(asset_selection=set(selection)).nodes if selection else []
    checks = sorted({node.name for node in nodes} - set(steps))
    left = whole.asset_layer.selected_asset_keys - set(selection)
    return Plan(
        seconds={step: seconds.get(step, _MOMENT) for step in (*steps, *checks)},
        checks=frozenset(checks),
        reused=sorted(key.to_user_string() for key in left),
    )


def expected_seconds(
    instance: dg.DagsterInstance, source: str, tags: Mapping[str, str]
) -> dict[str, float]:
    """Seconds by step: what it took last under the same settings, else what was measured.

    Args:
        instance: where runs are recorded.
        source: whose figures to take for steps that never ran; a shop's own data has none, and
            takes those of Complete Journey.
        tags: run tags that name the settings.
    """
    found = dict(MEASURED.get(source, MEASURED["complete_journey"]))
    runs = instance.get_runs(dg.RunsFilter(tags=dict(tags)), limit=_RUNS)
    for run in reversed(runs):  # the latest counts
        for step in instance.get_run_step_stats(run.run_id):
            if step.status is StepEventStatus.SUCCESS and step.start_time and step.end_time:
                found[step.step_key] = step.end_time - step.start_time
    return found
