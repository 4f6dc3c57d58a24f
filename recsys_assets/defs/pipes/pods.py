"""What Dagster's client for pods lacks for trainings: messages that are not lost, and patience.

And words for what is wrong with a pod, and what helps. Imports the clients of Kubernetes and S3, so
it is imported only by the run that needs it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import dagster as dg
import urllib3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from dagster._core.errors import DagsterPipesExecutionError  # not exported by Dagster 1.13
from dagster_aws.pipes import PipesS3MessageReader
from dagster_k8s import PipesK8sClient
from dagster_k8s.client import DagsterKubernetesClient
from dagster_pipes import PipesParams
from kubernetes.client import ApiException, V1Pod

from recsys_assets.defs.pipes.pipes import Observed

if TYPE_CHECKING:
    from kubernetes.client import V1Pod

# The writer sends a chunk every 10 s and the reader takes one at a time: it must be the faster,
# or the last chunks, with the version among them, are given up when the pod ends.
_READ_SECONDS = 4
_API_SILENCE_SECONDS = 600
_TRANSIENT = {401, 429, 500, 502, 503, 504}
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


class TrainingPodFailed(DagsterPipesExecutionError):
    """A pod did not do its work; names it, why in Kubernetes' words, and what helps."""


class MessagesOnS3(Observed, PipesS3MessageReader):
    """Reads what a pod says from objects below `<storage>/pipes/<run>`, and deletes them."""

    def __init__(self, storage: str, run_id: str, observe: Callable[[Any], None]) -> None:
        url = urlsplit(storage)
        retrying = Config(retries={"mode": "standard", "max_attempts": 10})
        super().__init__(
            bucket=url.netloc, client=boto3.client("s3", config=retrying), interval=_READ_SECONDS
        )
        self.observe = observe
        self._folder = "/".join(part for part in (url.path.strip("/"), "pipes", run_id) if part)

    @contextmanager
    def get_params(self) -> Iterator[PipesParams]:
        """Where the pod writes.

        Raises:
            ClientError: nothing can be read there, which is better known before the pod starts.
        """
        with super().get_params() as params:
            prefix = f"{self._folder}/{params['key_prefix']}"
            self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=1)
            try:
                yield {**params, "key_prefix": prefix}
            finally:
                self._forget(prefix)

    def download_messages_chunk(self, index: int, params: PipesParams) -> str | None:
        """The next messages; none while S3 cannot be reached, so that they are asked for again."""
        try:
            return super().download_messages_chunk(index, params)
        except BotoCoreError:
            return None

    def _forget(self, prefix: str) -> None:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{prefix}/"
        )
        for page in pages:
            keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
            if keys:
                self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": keys})


class TrainingPods(PipesK8sClient):
    """Dagster's client, which says what is wrong with a pod, and waits no longer than it must.

    The original waits a day for a pod that no node has room for, gives up when the API server
    does not answer once, and says of a pod that was killed for its memory only that it failed.
    """

    def __init__(self, *, start_seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._start_seconds = start_seconds

    @contextmanager
    def consume_pod_logs(
        self,
        context: Any,
        client: DagsterKubernetesClient,
        namespace: str,
        pod_name: str,
        enable_multi_container_logs: bool = False,
        ignore_containers: set[str] | None = None,
    ) -> Iterator[None]:
        """Waits until the pod has done its work, which Dagster's own wait then confirms.

        The pod is deleted at the end, whatever the end: also when the run is terminated.
        """
        try:
            self._wait(client, namespace, pod_name)
            with super().consume_pod_logs(
                context, client, namespace, pod_name, enable_multi_container_logs, ignore_containers
            ):
                yield
        finally:
            _delete(context, client, namespace, pod_name)

    def owner(self, namespace: str, pod_name: str) -> dict[str, Any] | None:
        """A reference to the pod that starts others, None if there is no such pod.

        Kubernetes deletes what a pod owns after it, even if the pod had no time to do so itself.
        """
        self._load_k8s_config()
        core = DagsterKubernetesClient.production_client().core_api
        try:
            uid = core.read_namespaced_pod(pod_name, namespace).metadata.uid
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return {"apiVersion": "v1", "kind": "Pod", "name": pod_name, "uid": uid}

    def _wait(self, client: DagsterKubernetesClient, namespace: str, pod_name: str) -> None:
        began = heard = time.monotonic()
        while True:
            pod, silence = _look(client, namespace, pod_name)
            now = time.monotonic()
            if pod is None:
                if now - heard > _API_SILENCE_SECONDS:
                    raise TrainingPodFailed(
                        f"Pod {namespace}/{pod_name}: the API server has not answered for "
                        f"{_API_SILENCE_SECONDS} s ({silence})"
                    )
            else:
                heard = now
                if has_succeeded(pod):
                    return
                overdue = not has_started(pod) and now - began > self._start_seconds
                found = pod_trouble(pod, overdue=overdue)
                if found is not None:
                    seen = client.get_pod_debug_info(pod_name, namespace, pod=pod)
                    raise TrainingPodFailed(f"Pod {namespace}/{pod_name}: {found}\n{seen}")
            time.sleep(self.poll_interval)


def _look(
    client: DagsterKubernetesClient, namespace: str, pod_name: str
) -> tuple[V1Pod | None, str]:
    """The pod, or why the API server did not tell.

    Raises:
        TrainingPodFailed: there is no such pod any more.
        ApiException: the request was refused.
    """
    try:
        return client.core_api.read_namespaced_pod(pod_name, namespace), ""
    except ApiException as error:
        if error.status == 404:
            raise TrainingPodFailed(f"Pod {namespace}/{pod_name}: {GONE}") from None
        if error.status not in _TRANSIENT:
            raise
        return None, f"status {error.status}"
    except urllib3.exceptions.HTTPError as error:
        return None, str(error)


def _delete(
    context: dg.AssetExecutionContext,
    client: DagsterKubernetesClient,
    namespace: str,
    pod_name: str,
) -> None:
    try:
        client.core_api.delete_namespaced_pod(pod_name, namespace)
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        if getattr(error, "status", None) != 404:
            context.log.warning(f"Pod {namespace}/{pod_name} could not be deleted: {error}")


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


def pod_trouble(pod: "V1Pod", *, overdue: bool) -> Trouble | None:
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
