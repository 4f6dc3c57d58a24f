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
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from recsys_assets.defs.configuration import AnswerStream, Attribution, CandidateGate
from recsys_assets.defs.deployment.executors import in_pods
from recsys_assets.defs.deployment.steps import Work
from recsys_assets.defs.graph.retraining.resources import AlertHookResource, RetrainingPolicy
from recsys_assets.defs.pipes.kubernetes import ModelsOnKubernetes
from recsys_assets.defs.pipes.pipes import ModelsEnvironment, ModelsSubprocess
from recsys_assets.defs.resources import (
    RunDays,
    SourceResource,
    StoreResource,
    TextEncoderResource,
    VectorIndex,
)
from recsys_assets.defs.serving_resources import ServingResource
from recsys_assets.settings import Settings


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
