"""What is wrong with a pod that runs a training, and what helps.

Reads objects of the Kubernetes client; asks nobody.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubernetes.client import V1Pod

_AGAIN = "its node was taken away or drained: start the run again, the training begins anew"
_IMAGE = "check the name of the training image and that the nodes may pull it"
_NO_ROOM = (
    "no node can take it: check the node groups, their limits and taints, and the CPUs, memory "
    "and GPUs that trainings ask for"
)
_HOPELESS = {
    "ImagePullBackOff": _IMAGE,
    "InvalidImageName": _IMAGE,
    "ErrImageNeverPull": _IMAGE,
    "CreateContainerConfigError": "create the secret or ConfigMap that it names",
    "CreateContainerError": "look at the pod's events: the node cannot make the container",
    "RunContainerError": "look at the pod's events: the node cannot start the container",
}
_ENDS = {
    "OOMKilled": "it needs more memory than its limit: give trainings more memory, or this one "
    "fewer or shorter rows",
    "DeadlineExceeded": "it took longer than a training may: give trainings more hours",
    "Evicted": _AGAIN,
    "NodeShutdown": _AGAIN,
    "NodeLost": _AGAIN,
    "Terminated": _AGAIN,
    "Preempting": _AGAIN,
}
_OWN_FAULT = "its own error is in the run's log"
GONE = f"Gone (the pod was deleted by someone else): {_AGAIN}"


@dataclass(frozen=True)
class Trouble:
    """Why a pod does not or did not do its work, in Kubernetes' words, and the remedy in ours."""

    reason: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.message}): {self.remedy}"


def has_succeeded(pod: "V1Pod") -> bool:
    """Whether it has done its work."""
    return bool(pod.status.phase == "Succeeded")


def has_started(pod: "V1Pod") -> bool:
    """Whether its process runs or has run."""
    return bool(pod.status.phase not in (None, "Pending"))


def trouble(pod: "V1Pod", *, overdue: bool) -> Trouble | None:
    """What is wrong with it, None if nothing is or it may still come right by itself.

    Args:
        pod: as the API server has it.
        overdue: it ought to have started by now. A pod that no node has room for is only then in
            trouble: until then a node is perhaps on its way.
    """
    if pod.status.phase == "Failed":
        return _failed(pod)
    waiting = _part(pod, "waiting")
    if waiting is not None and waiting.reason in _HOPELESS:
        return Trouble(waiting.reason, waiting.message or "no message", _HOPELESS[waiting.reason])
    return _late(pod) if overdue and not has_started(pod) else None


def _failed(pod: "V1Pod") -> Trouble:
    ended = _part(pod, "terminated")
    reason = pod.status.reason or (ended and ended.reason) or "Failed"
    said = pod.status.message or (ended and ended.message)
    message = said or (f"exit code {ended.exit_code}" if ended else "no message")
    disrupted = any(each.type == "DisruptionTarget" for each in pod.status.conditions or [])
    return Trouble(reason, message, _ENDS.get(reason) or (_AGAIN if disrupted else _OWN_FAULT))


def _late(pod: "V1Pod") -> Trouble:
    for each in pod.status.conditions or []:
        if each.type == "PodScheduled" and each.status == "False":
            return Trouble(each.reason or "Unschedulable", each.message or "no message", _NO_ROOM)
    waiting = _part(pod, "waiting")
    reason = (waiting and waiting.reason) or "Pending"
    return Trouble(reason, "it has not started in time", "look at the pod's and the node's events")


def _part(pod: "V1Pod", name: str) -> Any:
    """Part `waiting` or `terminated` of its process's state, None if it is not in that state."""
    statuses = pod.status.container_statuses
    return getattr(statuses[0].state, name) if statuses else None
