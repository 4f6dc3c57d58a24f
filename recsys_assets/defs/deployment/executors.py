"""How the steps of a run are executed.

On one machine they follow each other in the run's process: a process for each would spend 8-15 s
on imports, and what is heavy runs in Spark or through Pipes anyway.

In a cluster a step that needs more memory than its neighbours must not decide the size of the
pod for all of them, so each has a pod of its own, sized by its class in `steps.py`. That costs the
imports again, and a pod's start, but steps that do not wait for each other run side by side. It
does not pay for a run that has light steps only (a rollback, which is urgent; a promotion; an
ingest): these stay in the pod of the run, which the run launcher sizes for a light step.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import dagster as dg

from recsys_assets.defs.deployment.steps import PODS, Work

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
