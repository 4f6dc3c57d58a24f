"""Trainings as assets. Wiring only: each is a module of this folder, run in its own process.

The candidate that comes of them is in `candidates.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import dagster as dg

from recsys_assets.candidates.boosted_ranker import Boosting
from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.configuration import config_fields
from recsys_assets.defs.graph.ranking import publish_ranker
from recsys_assets.defs.partitions import all_days_of, daily
from recsys_assets.defs.pipes.pipes import ModelsEnvironment, current, train
from recsys_assets.defs.resources import StoreResource
from recsys_assets.defs.retraining_resources import CandidateGate
from recsys_assets.models.hyperparameters import (
    DlrmParameters,
    DlrmTuning,
    QueryTowerTuning,
    TwoTowerParameters,
)

_GROUP = "retraining"
_OWNERS = ["team:ml"]
# A training that fails must not take those of other days with it.
_A_RUN_A_DAY = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
_LEARNED_FROM: list[str | dg.AssetDep] = [
    "training_examples",
    *map(all_days_of, ("daily_examples", "interactions", "item_features")),
    "item_promotions",
    "item_text_embeddings",
    "items",
    "catalogue_history",
    "users",
]
_BASE = {
    "base_release": dg.Field(
        dg.Noneable(dg.Int),
        default_value=None,
        description="Release whose models are the starting point: the promoted one unless given",
    )
}


def _train(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    models: ModelsEnvironment,
    module: str,
    extras: Mapping[str, Any],
) -> dg.MaterializeResult:
    """Trains the day of the run and publishes `<asset>/<day>`."""
    artifact = f"{context.asset_key.to_user_string()}/{context.partition_key}"
    trained = train(context, store, models, module, extras, artifact)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(trained.version),
        metadata={
            **_figures(trained.metrics),
            "seconds": trained.seconds,
            "version": trained.version,
        },
    )


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What a training says of itself: numbers as they are, the rest as JSON."""
    return {
        name: value if isinstance(value, int | float | str) else dg.MetadataValue.json(value)
        for name, value in metrics.items()
        if value is not None
    }


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"tensorflow", "python", "onnx"},
    code_version=code_version("recsys_assets.retraining.query_tower"),
    partitions_def=daily,
    backfill_policy=_A_RUN_A_DAY,
    deps=_LEARNED_FROM,
    config_schema={**config_fields(QueryTowerTuning), **_BASE},
    description=(
        "The query tower of the promoted release, trained on over recent days with a replay of "
        "older ones. The item tower stays as it is, bit for bit; new users get rows of their own. "
        "The newest labelled days are left out: the gate judges on them."
    ),
)
def finetuned_query_tower(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    models: ModelsEnvironment,
    gate: CandidateGate,
) -> dg.MaterializeResult:
    """Fine-tunes in the models environment and publishes `finetuned_query_tower/<day>`."""
    from recsys_assets.releases.release import Releases
    from recsys_assets.retraining.release_candidate import live_release

    tuning, releases = dict(context.op_execution_context.op_config), Releases(store.get())
    base = tuning.pop("base_release") or live_release(releases)
    learned = releases.manifest(base)["trained_through"]
    extras = {
        "through": gate.learning_through(context.partition_key, learned),
        "base_release": base,
        "parameters": asdict(QueryTowerTuning(**tuning)),
    }
    return _train(context, store, models, "recsys_assets.retraining.query_tower", extras)


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"tensorflow", "python", "onnx"},
    code_version=code_version("recsys_assets.retraining.dlrm"),
    partitions_def=daily,
    backfill_policy=_A_RUN_A_DAY,
    deps=[finetuned_query_tower, *_LEARNED_FROM],
    config_schema=config_fields(DlrmTuning),
    description=(
        "The ranker of the promoted release, all layers trained on over recent days with a "
        "replay of older ones. New users and items get rows of their own."
    ),
)
def finetuned_dlrm(
    context: dg.AssetExecutionContext, store: StoreResource, models: ModelsEnvironment
) -> dg.MaterializeResult:
    """Fine-tunes in the models environment and publishes `finetuned_dlrm/<day>`."""
    tower = f"{finetuned_query_tower.key.to_user_string()}/{context.partition_key}"
    two_tower = current(store, tower)
    folder = store.get().artifact(tower).fetch(two_tower["version"])
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    extras = {
        "through": metrics["trained_through"],
        "base_release": metrics["base_release"],
        "two_tower": two_tower,
        "parameters": asdict(DlrmTuning(**context.op_execution_context.op_config)),
    }
    return _train(context, store, models, "recsys_assets.retraining.dlrm", extras)


def _retrained(part: str, parameters: type[Any], deps: list[Any]) -> dg.AssetsDefinition:
    """A part trained from scratch: the module of its initial training, as of a day.

    Args:
        part: artifact that is trained so initially.
        parameters: dataclass of its hyperparameters.
        deps: the retrained two-tower model, where the part is made with one.
    """
    module = f"recsys_assets.models.{part}_training"

    @dg.asset(
        name=f"retrained_{part}",
        group_name=_GROUP,
        owners=_OWNERS,
        kinds={"tensorflow", "python", "onnx"},
        code_version=code_version(module),
        partitions_def=daily,
        backfill_policy=_A_RUN_A_DAY,
        deps=[*deps, *_LEARNED_FROM],
        config_schema=config_fields(parameters),
        description=f"The artifact `{part}` trained from scratch on everything up to the newest "
        "labelled days of the partition, which the gate judges on.",
    )
    def retrained(
        context: dg.AssetExecutionContext,
        store: StoreResource,
        models: ModelsEnvironment,
        gate: CandidateGate,
    ) -> dg.MaterializeResult:
        extras: dict[str, Any] = {
            "through": gate.evaluation_window(context.partition_key).through,
            "parameters": asdict(parameters(**context.op_execution_context.op_config)),
        }
        if deps:
            extras["two_tower"] = current(store, f"retrained_two_tower/{context.partition_key}")
        return _train(context, store, models, module, extras)

    return retrained


retrained_two_tower = _retrained("two_tower", TwoTowerParameters, [])
retrained_dlrm = _retrained("dlrm", DlrmParameters, [retrained_two_tower])


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"python", "lightgbm"},
    code_version=code_version("recsys_assets.evaluation.ranker_training"),
    partitions_def=daily,
    backfill_policy=_A_RUN_A_DAY,
    deps=[all_days_of("interactions"), "items", "item_promotions"],
    config_schema=config_fields(Boosting),
    description="The artifact `boosted_ranker` trained on the weeks up to the newest labelled days "
    "of the partition, which the gate judges on.",
)
def retrained_boosted_ranker(
    context: dg.AssetExecutionContext, store: StoreResource, gate: CandidateGate
) -> dg.MaterializeResult:
    """Trains the day of the run and publishes `retrained_boosted_ranker/<day>`."""
    artifact = f"{context.asset_key.to_user_string()}/{context.partition_key}"
    through = gate.evaluation_window(context.partition_key).through
    days = [day for day in store.get().table("interactions").days() if day <= through]
    boosting = Boosting(**context.op_execution_context.op_config)
    return publish_ranker(context, store, artifact, days, boosting)
