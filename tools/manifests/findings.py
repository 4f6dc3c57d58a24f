"""What a check finds fault with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """One fault: where it is, what stands there, and what to do."""

    file: str
    object: str
    field: str
    value: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.object}: {self.field}={self.value!r}: {self.remedy}"


@dataclass(frozen=True)
class Rendered:
    """What a folder or a chart renders to.

    Attributes:
        file: what the reader knows it by, such as `k8s/overlays/eks`.
        objects: in the order of the rendering.
        foreign: labels of pods that others start here: Dagster's chart, runs, Spark.
        text: the same as YAML.
    """

    file: str
    objects: list[Object]
    foreign: list[Mapping[str, str]]
    text: str

    def of_kind(self, *kinds: str) -> Iterator[Object]:
        """The objects of these kinds."""
        return (each for each in self.objects if each["kind"] in kinds)

    def names(self, kind: str) -> set[str]:
        """Names of the objects of a kind."""
        return {each["metadata"]["name"] for each in self.of_kind(kind)}

    def workloads(self) -> Iterator[Object]:
        """The objects that start pods."""
        return self.of_kind("Deployment", "StatefulSet", "DaemonSet", "Job")

    def finding(self, of: Object, field: str, value: object, remedy: str) -> Finding:
        """A fault of one of the objects."""
        return Finding(self.file, name_of(of), field, str(value), remedy)


def name_of(of: Object) -> str:
    """An object as the reader knows it."""
    return f"{of['kind']}/{of['metadata']['name']}"


def pod_of(workload: Object) -> Object:
    """The specification of a workload's pods."""
    return dict(workload["spec"]["template"]["spec"])


def labels_of(workload: Object) -> Mapping[str, str]:
    """The labels of a workload's pods."""
    return dict(workload["spec"]["template"]["metadata"].get("labels", {}))


def containers_of(pod: Object) -> list[Object]:
    """The containers of a pod, those that prepare it included."""
    return [*pod.get("initContainers", []), *pod["containers"]]
