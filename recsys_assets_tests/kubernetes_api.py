"""An API server of Kubernetes in this process, for clients that are tested over HTTP.

`kmock` stores and serves the objects. Added here is what its clients need beyond that: names and
metadata that a server gives, field and label selectors, namespaces as objects, pods' logs, and
the part of the kubelet: whoever tests says what becomes of a pod or a job.

It checks nothing: schemas are `kubernetes-validate`'s work. A patch merges mappings and replaces
lists, whatever its kind.
"""

import asyncio
import json
import threading
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import kmock

from recsys_assets_tests.waiting import LIMIT

Object = dict[str, Any]
T = TypeVar("T")

_NAMESPACES = "/api/v1/namespaces"
_OF_THEIR_OWN = "/api/v1/clusternamespaces"  # kmock takes the plain path for a prefix
_LOG_POLL_SECONDS = 0.02
_ENDED = ("Succeeded", "Failed")


class KubernetesApi:
    """The server as tests see it; `kubernetes_api` starts it."""

    def __init__(self, emulator: "_Emulator", loop: asyncio.AbstractEventLoop, url: str) -> None:
        self.url = url
        self._emulator = emulator
        self._loop = loop

    def kubeconfig(self, path: Path) -> Path:
        """Writes a configuration for kubectl and the clients, and gives its path back."""
        named = {"cluster": "test", "user": "test", "namespace": "default"}
        configuration = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": named}],
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {}}],
        }
        path.write_text(json.dumps(configuration), encoding="utf-8")
        return path

    def objects(self, kind: str, namespace: str | None = None) -> list[Object]:
        """The objects there are, of one namespace or of all, oldest first."""
        return self._run(self._emulator.stored(kind, namespace))

    def requests(self) -> list[tuple[str, str]]:
        """Method and path of every request so far."""
        return [(str(each.method.value), each.url.path) for each in self._emulator]

    def set_status(self, kind: str, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Gives an object another status, as a controller or the kubelet would."""
        self._run(self._emulator.set_status(kind, namespace, name, status))

    def schedule(self, namespace: str, pod: str, *, refused: str | None = None) -> None:
        """Finds a node for a pod, or says why there is none."""
        condition = {"type": "PodScheduled", "status": "True" if refused is None else "False"}
        if refused is not None:
            condition |= {"reason": "Unschedulable", "message": refused}
        self.set_status("Pod", namespace, pod, {"phase": "Pending", "conditions": [condition]})

    def wait(self, namespace: str, pod: str, reason: str, message: str = "") -> None:
        """Lets the first container of a pod wait, for instance with `ImagePullBackOff`."""
        state = {"waiting": {"reason": reason, "message": message}}
        self._container(namespace, pod, "Pending", state)

    def run(self, namespace: str, pod: str) -> None:
        """Starts the first container of a pod."""
        self._container(namespace, pod, "Running", {"running": {"startedAt": _now()}})

    def end(self, namespace: str, pod: str, exit_code: int = 0, reason: str | None = None) -> None:
        """Ends the first container of a pod, and with it the pod."""
        ended = "Succeeded" if exit_code == 0 else "Failed"
        reason = reason or ("Completed" if exit_code == 0 else "Error")
        state = {"terminated": {"exitCode": exit_code, "reason": reason, "finishedAt": _now()}}
        self._container(namespace, pod, ended, state)

    def fail_job(self, namespace: str, job: str, reason: str = "BackoffLimitExceeded") -> None:
        """Fails a job."""
        condition = {"type": "Failed", "status": "True", "reason": reason}
        self.set_status(
            "Job",
            namespace,
            job,
            {"failed": 1, "startTime": _now(), "conditions": [condition]},
        )

    def log(self, namespace: str, pod: str, text: str) -> None:
        """Appends lines to the log of a pod; who follows it gets them at once."""
        self._run(self._emulator.log(namespace, pod, text))

    def refuse(self, requests: int) -> None:
        """Answers the next requests to read something with status 503."""
        self._emulator.refusals = requests

    def _container(self, namespace: str, pod: str, phase: str, state: Object) -> None:
        found = {each["metadata"]["name"]: each for each in self.objects("Pod", namespace)}
        container = found[pod]["spec"]["containers"][0]
        status = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": phase == "Running",
            "restartCount": 0,
            "state": state,
        }
        self.set_status("Pod", namespace, pod, {"phase": phase, "containerStatuses": [status]})

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=LIMIT)


@contextmanager
def kubernetes_api(custom: Mapping[str, str] | None = None) -> Iterator[KubernetesApi]:
    """Runs the server in a thread, on a free port of the loopback interface.

    Args:
        custom: kinds beyond the built-in ones by resource, such as
            `{"monitoring.coreos.com/v1/prometheusrules": "PrometheusRule"}`.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="kubernetes-api", daemon=True)
    thread.start()

    async def started() -> tuple[_Emulator, kmock.Server]:
        emulator = _Emulator()
        emulator.resources.load_path(files("kmock._internal") / "resources.json.gz")  # type: ignore[arg-type]
        for resource, kind in (custom or {}).items():
            emulator.resources[resource] = kmock.ResourceInfo(kind=kind, namespaced=True)
        await emulator.__aenter__()
        return emulator, await kmock.Server(emulator).__aenter__()

    async def stopped() -> None:
        await server.__aexit__(None, None, None)
        await emulator.__aexit__(None, None, None)

    emulator, server = asyncio.run_coroutine_threadsafe(started(), loop).result(timeout=LIMIT)
    try:
        yield KubernetesApi(emulator, loop, str(server.url).rstrip("/"))
    finally:
        asyncio.run_coroutine_threadsafe(stopped(), loop).result(timeout=LIMIT)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=LIMIT)
        loop.close()


class _Emulator(kmock.KubernetesEmulator):
    """kmock's emulator with what a server adds to objects, selectors and logs."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.refusals = 0
        self._logs: dict[tuple[str | None, str | None], list[bytes]] = {}
        self[kmock.action.FETCH, kmock.subresource("log")] << self._serve_log

    async def __call__(self, raw_request: Any) -> Any:
        own = raw_request.path.removeprefix(_NAMESPACES).strip("/")
        if raw_request.path.startswith(_NAMESPACES) and "/" not in own:
            path = f"{_OF_THEIR_OWN}/{own}".rstrip("/")
            raw_request = raw_request.clone(rel_url=raw_request.rel_url.with_path(path))
        return await super().__call__(raw_request)

    async def _handle(self, request: kmock.Request) -> Any:
        if self.refusals and request.method == kmock.method.GET:
            self.refusals -= 1
            raise kmock.KubernetesError(status=503, reason="ServiceUnavailable", message="later")
        if request.action == kmock.action.CREATE and isinstance(request.data, dict):
            self._complete(request)
        return await super()._handle(request)

    def _complete(self, request: kmock.Request) -> None:
        created = request.data
        meta = created.setdefault("metadata", {})
        if not meta.get("name"):
            meta["name"] = meta.get("generateName", "") + uuid.uuid4().hex[:5]
        if request.namespace:
            meta.setdefault("namespace", request.namespace)
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now(), "resourceVersion": "1"}
        kind = self._kind(request)
        created.setdefault("kind", kind)
        if kind == "Pod":
            created.setdefault("status", {"phase": "Pending"})
        if kind == "Job":
            created.setdefault("status", {"active": 1, "startTime": _now()})

    def _kind(self, request: kmock.Request) -> str:
        if request.resource is None or request.resource.plural == "clusternamespaces":
            return "Namespace"
        return self.resources[request.resource].kind or ""

    async def _serve_version(self, request: kmock.Request) -> Any:
        served: Any = await super()._serve_version(request)
        return {**served, "groupVersion": served["groupVersion"].lstrip("/")}

    async def _serve_list(self, request: kmock.Request) -> Any:
        if self._kind(request) == "Namespace":
            found: Any = {"items": await self.stored("Namespace", None)}
        else:
            found = await super()._serve_list(request)
        wanted = _selectors(request.params)
        group_version = request.url.path.split("/namespaces/")[0].split("/")[2:4]
        return {
            "kind": f"{self._kind(request)}List",
            "apiVersion": "/".join(
                group_version[:1] if group_version[0] == "v1" else group_version
            ),
            "metadata": {"resourceVersion": "1"},
            "items": [each for each in found["items"] if wanted <= _fields(each, wanted)],
        }

    async def _serve_log(self, request: kmock.Request) -> AsyncIterator[bytes]:
        """The log of a pod from its start, with time stamps and following it if asked."""
        yield b""
        at, stamped = 0, request.params.get("timestamps", "").lower() == "true"
        follow = request.params.get("follow", "").lower() == "true"
        while True:
            lines = self._logs.get((request.namespace, request.name), [])
            ended = not follow or self._ended(request)
            for line in lines[at:]:
                yield line if stamped else line.partition(b" ")[2]
            at = len(lines)
            if ended:
                return
            await asyncio.sleep(_LOG_POLL_SECONDS)

    def _ended(self, request: kmock.Request) -> bool:
        pod = self.objects["v1/pods", request.namespace, request.name or ""]
        return pod.deleted or pod["status"]["phase"] in _ENDED

    async def stored(self, kind: str, namespace: str | None) -> list[Object]:
        """Copies of the objects of a kind."""
        return [
            json.loads(json.dumps(each.raw))
            for (_, of, _), each in self.objects.items()
            if not each.deleted and each["kind"] == kind and namespace in (None, of)
        ]

    async def set_status(
        self, kind: str, namespace: str, name: str, status: Mapping[str, Any]
    ) -> None:
        """Puts another status in the place of an object's."""
        for (_, of, called), each in self.objects.items():
            if (of, called) == (namespace, name) and not each.deleted and each["kind"] == kind:
                each["status"] = dict(status)
                return
        raise KeyError(f"there is no {kind} {name} in namespace {namespace}")

    async def log(self, namespace: str, pod: str, text: str) -> None:
        """Appends lines, each with its time."""
        kept = self._logs.setdefault((namespace, pod), [])
        kept.extend(f"{_now()} {line}\n".encode() for line in text.splitlines())


def _selectors(params: Mapping[str, str]) -> set[tuple[str, str]]:
    """Pairs `field=value` of both selectors; a label's field begins with `metadata.labels.`."""
    fields = _pairs(params.get("fieldSelector", ""))
    labels = _pairs(params.get("labelSelector", ""))
    return fields | {(f"metadata.labels.{key}", value) for key, value in labels}


def _pairs(selector: str) -> set[tuple[str, str]]:
    parts = (each.replace("==", "=").partition("=") for each in selector.split(",") if each)
    return {(key.strip(), value.strip()) for key, _, value in parts}


def _fields(item: Object, wanted: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The values that an object has in the wanted fields."""
    return {(field, str(_value(item, field))) for field, _ in wanted}


def _value(item: Object, field: str) -> Any:
    labels = "metadata.labels."
    if field.startswith(labels):
        return item["metadata"].get("labels", {}).get(field.removeprefix(labels))
    value: Any = item
    for part in field.split("."):
        value = value.get(part, {}) if isinstance(value, dict) else {}
    return value


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
