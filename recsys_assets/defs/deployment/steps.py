"""What the pod of a step asks for, by the kind of work that the step is.

The class follows from what an asset declares, so a new one has it without being named here. Only
a step that needs much memory and does not show it is in `_HUNGRY`.

Measured on a year of Complete Journey and two cores: no process took more than 5.2 GB, the
point-in-time join and training being the largest; a driver of Spark has a heap of 3 GB and takes
one core for a day of features. A process that has imported what Dagster loads has 0.15 GB, with
Evidently 0.36; one that holds as many rows as a year has events and drops doubles, 0.85. What each
light step takes was not measured. The capacity page says what follows for more
users and items.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import dagster as dg


@dataclass(frozen=True)
class Pod:
    """Quantities of Kubernetes, each from what is asked for to what is allowed.

    `starts_pods` says that the step asks Kubernetes for pods of its own, so needs its token.
    """

    cpu: tuple[str, str]
    memory: tuple[str, str]
    starts_pods: bool = False

    def k8s_config(self) -> dict[str, Any]:
        """As `dagster_k8s` takes it for a step; what every pod has comes from the launcher."""
        return {
            "container_config": {
                "resources": {
                    "requests": {"cpu": self.cpu[0], "memory": self.memory[0]},
                    "limits": {"cpu": self.cpu[1], "memory": self.memory[1]},
                }
            },
            "pod_spec_config": {"automount_service_account_token": self.starts_pods},
        }


class Work(Enum):
    """Kinds of work."""

    LIGHT = "light"
    MEMORY = "memory"
    SPARK = "spark"
    TRAIN = "train"


PODS = {
    Work.LIGHT: Pod(cpu=("250m", "2"), memory=("1Gi", "2Gi")),
    # 5.2 GB measured; joins use two threads.
    Work.MEMORY: Pod(cpu=("1", "2"), memory=("6Gi", "8Gi")),
    # Heap of 3 GB, what Java has beside it, and Python. Executors are pods of their own.
    Work.SPARK: Pod(cpu=("1", "2"), memory=("5Gi", "6Gi"), starts_pods=True),
    # Waits for the training pod, which `pipes/kubernetes.py` sizes and gives its GPUs.
    Work.TRAIN: Pod(cpu=("100m", "1"), memory=("1Gi", "2Gi"), starts_pods=True),
}

_TRAINS = "models"  # key of the resource that trains
_BY_KIND = {
    "spark": Work.SPARK,
    "feast": Work.MEMORY,  # joins and materializations pass through this process
    "faiss": Work.MEMORY,  # all item vectors, and the index made of them
}
# Square matrices of items; slates of every household over the whole catalogue; candidates of weeks
# with all their inputs; a whole release.
_HUNGRY = {
    *("baselines", "evaluation", "rolling_evaluation"),
    *("boosted_ranker", "retrained_boosted_ranker"),
    *("release_candidate", "refreshed_release", "triton_model_repository"),
}


def work_of(step: dg.AssetsDefinition) -> Work:
    """The class of a step. Checks are light: they read what an asset has written."""
    if _TRAINS in step.required_resource_keys:
        return Work.TRAIN
    if step.op.name in _HUNGRY:
        return Work.MEMORY
    kinds = {kind for spec in step.specs for kind in spec.kinds}
    return next((work for kind, work in _BY_KIND.items() if kind in kinds), Work.LIGHT)


def work_by_step(loaded: Iterable[object]) -> dict[str, Work]:
    """The class of each step by its name, which is the name of its op.

    Args:
        loaded: assets and checks of modules; what nothing executes has no step.
    """
    steps = [each for each in loaded if isinstance(each, dg.AssetsDefinition)]
    return {step.op.name: work_of(step) for step in steps if step.is_executable}
