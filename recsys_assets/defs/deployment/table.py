"""What a deployment does its own way, in one table. Assets do not know which one they run in.

| | local | eks | chosen by |
|---|---|---|---|
| storage | a folder, or `s3://` | `s3://` | RECSYS_STORAGE |
| instance, runs | SQLite, processes | Postgres, `K8sRunLauncher` | its `dagster.yaml` |
| steps | in the run's process | a pod each, unless all are light | this table |
| trainings | a process | a pod with GPUs | this table |
| Spark | in the step's process | executors in pods | RECSYS_SPARK_MASTER |
| Feast, offline and online | DuckDB, embedded Valkey | Athena or Spark, ElastiCache | settings |
| promotion and canary | the server beside this process | every pod's agent | settings |
| Triton's address | 127.0.0.1 | the service `triton` | settings |

The settings' defaults follow `RECSYS_DEPLOYMENT` too, so that setting it is enough to have all.

Steps of a run on one machine follow each other in the run's process: a process for each would spend
8-15 s on imports, and what is heavy runs in Spark or through Pipes anyway.

In a cluster a step that needs more memory than its neighbours must not decide the size of the
pod for all of them, so each has a pod of its own, sized by its class in `steps.py`. That costs the
imports again, and a pod's start, but steps that do not wait for each other run side by side. It
does not pay for a run that has light steps only (a rollback, which is urgent; a promotion; an
ingest): these stay in the pod of the run, which the run launcher sizes for a light step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg

from recsys_assets.defs.deployment.steps import PODS, Work
from recsys_assets.defs.monitoring_resources import AnswerStream, Attribution
from recsys_assets.defs.pipes.kubernetes import ModelsOnKubernetes
from recsys_assets.defs.pipes.pipes import ModelsEnvironment, ModelsSubprocess
from recsys_assets.defs.resources import (
    ImageEncoderResource,
    RunDays,
    SourceResource,
    StoreResource,
    TextEncoderResource,
    VectorIndex,
)
from recsys_assets.defs.retraining_resources import (
    AlertHookResource,
    CandidateGate,
    RetrainingPolicy,
)
from recsys_assets.defs.serving_resources import ServingResource
from recsys_assets.settings import Settings

_PODS_AT_ONCE = 4


def in_pods(work: Mapping[str, Work]) -> dg.ExecutorDefinition:
    """Dagster's executor for Kubernetes, unless all steps of the run are light.

    It is created when a run begins: importing it takes more than a second, which whoever only
    loads the definitions need not spend.

    Args:
        work: class of steps by name; any other step, such as a job's own op, is light.
    """

    @dg.executor(
        name="steps_in_pods",
        config_schema={
            "max_concurrent": dg.Field(
                int, default_value=_PODS_AT_ONCE, description="Pods of a run at the same time."
            )
        },
        requirements=dg.multiple_process_executor_requirements(),
    )
    def create(context: dg.InitExecutorContext) -> dg.Executor:
        heavy = {
            step.name: work[step.name]
            for step in context.job.get_definition().nodes
            if work.get(step.name, Work.LIGHT) is not Work.LIGHT
        }
        if not heavy:
            return _created(dg.in_process_executor, context, {})
        from dagster_k8s import k8s_job_executor

        config = {
            "max_concurrent": context.executor_config["max_concurrent"],
            "step_k8s_config": PODS[Work.LIGHT].k8s_config(),
            "per_step_k8s_config": {name: PODS[of].k8s_config() for name, of in heavy.items()},
            # Steps go with the pod of a run that is deleted.
            "enable_owner_references": True,
        }
        return _created(k8s_job_executor, context, config)

    return create


def _created(
    definition: dg.ExecutorDefinition, context: dg.InitExecutorContext, config: Mapping[str, Any]
) -> dg.Executor:
    """An executor with a configuration that its own schema has passed and completed."""
    # Dagster 1.13 exports nothing that holds a configuration against its schema.
    from dagster._config import process_config

    found = process_config(definition.config_schema.config_type, dict(config))
    if not found.success:
        raise dg.DagsterInvalidConfigError(
            f"The executor {definition.name} refuses its configuration", found.errors, config
        )
    create = cast(
        "Callable[[dg.InitExecutorContext], dg.Executor]", definition.executor_creation_fn
    )
    return create(context._replace(executor_def=definition, executor_config=found.value or {}))


@dataclass(frozen=True)
class Deployment:
    """A row: how it trains, and how it executes the steps of a run."""

    models: Callable[[Settings], ModelsEnvironment]
    executor: Callable[[Mapping[str, Work]], dg.ExecutorDefinition]


DEPLOYMENTS = {
    "local": Deployment(
        models=ModelsSubprocess.from_settings, executor=lambda _: dg.in_process_executor
    ),
    "eks": Deployment(models=ModelsOnKubernetes.from_settings, executor=in_pods),
}


def resources(settings: Settings) -> dict[str, Any]:
    """The resources of a deployment by key."""
    return {
        "store": StoreResource(url=settings.storage_url),
        "source": SourceResource.from_settings(settings),
        "image_encoder": ImageEncoderResource.from_settings(settings),
        "text_encoder": TextEncoderResource.from_settings(settings),
        "models": DEPLOYMENTS[settings.deployment].models(settings),
        "run_days": RunDays.from_settings(settings),
        "vector_index": VectorIndex.from_settings(settings),
        "serving": ServingResource.from_settings(settings),
        "attribution": Attribution.from_settings(settings),
        "answer_stream": AnswerStream.from_settings(settings),
        "gate": CandidateGate.from_settings(settings),
        "retraining_policy": RetrainingPolicy.from_settings(settings),
        "alerts": AlertHookResource.from_settings(settings),
    }


def executor(settings: Settings, work: Mapping[str, Work]) -> dg.ExecutorDefinition:
    """What executes the steps of a run.

    Args:
        settings: of the deployment.
        work: class of each step by name.
    """
    return DEPLOYMENTS[settings.deployment].executor(work)
