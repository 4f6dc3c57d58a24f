"""The services of one deployment: how they are, and up and down where they are embedded."""

import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from recsys_assets.pipeline.circuit import connect_for_bulk
from recsys_assets.pipeline.seen_items import SeenItems
from recsys_assets.releases.release import MissingRelease, Promoted, Releases
from recsys_assets.rollout.agents import Patience, Pods, PodState
from recsys_assets.rollout.fleet import Fleet, PodSize
from recsys_assets.rollout.release_target import ReleaseTarget
from recsys_assets.rollout.single_server import SingleServer, serve_promoted
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import Settings
from recsys_assets.storage import Store
from recsys_assets.storage.online_store import STORE_ERRORS
from recsys_assets.triton.client import RecommendClient
from recsys_assets.triton.server import TritonServer

State = Literal["healthy", "degraded", "no release", "failing", "stopped"]


@dataclass(frozen=True)
class ServiceStatus:
    """How one service is. `detail` says what is known beyond the state, or what to do."""

    name: str
    address: str
    pid: int | None
    state: State
    detail: str


def live_server(settings: Settings, log: Callable[[str], object]) -> ReleaseTarget:
    """What promotion switches: the fleet of a cluster, or the server beside this process.

    `log` takes lines of the fleet's progress.
    """
    cluster = settings.cluster
    if cluster is None:
        return embedded_server(settings)
    size = PodSize(cluster.triton_memory, cluster.triton_models)
    patience = Patience(cluster.promotion_seconds)
    return Fleet.behind(cluster.agents, cluster.canary_agents, size, patience, log)


def embedded_server(settings: Settings) -> SingleServer:
    """The Triton server beside this process, as promotion sees it."""
    return SingleServer.embedded(TritonServer.of(settings))


def releases(settings: Settings) -> Releases:
    """The releases of the settings' store."""
    return Releases(Store(settings.storage_url))


def up(settings: Settings) -> list[ServiceStatus]:
    """Starts what is not running, serves the promoted release, and returns the state of all.

    Raises:
        ServiceError: a service does not start, or the promoted release cannot be served; the
            message says why and what to do.
    """
    _require_embedded(settings, "kubectl scale deployment triton --replicas=<n>")
    Valkey.of(settings).start()
    try:
        TritonServer.of(settings).start_and(
            lambda: serve_promoted(releases(settings), embedded_server(settings))
        )
    except MissingRelease as error:
        raise ServiceError(f"the promoted release is gone: {error}") from None
    return status(settings)


def down(settings: Settings) -> list[str]:
    """Stops the embedded services; returns the names of those that were running.

    Raises:
        ServiceError: there are none, as the services are pods.
    """
    _require_embedded(settings, "kubectl scale deployment triton --replicas=0")
    return [name for name, service in _embedded(settings) if service.stop()]


def running(settings: Settings) -> list[str]:
    """Names of the embedded services that run."""
    return [name for name, service in _embedded(settings) if service.daemon.pid is not None]


def stop_those(settings: Settings, pids: Container[int]) -> list[str]:
    """Stops the embedded services whose pid is among those; returns their names."""
    return [
        name
        for name, service in _embedded(settings)
        if service.daemon.pid in pids and service.stop()
    ]


def _embedded(settings: Settings) -> list[tuple[str, TritonServer | Valkey]]:
    return [("Triton", TritonServer.of(settings)), ("Valkey", Valkey.of(settings))]


def status(settings: Settings) -> list[ServiceStatus]:
    """How Valkey and Triton are; Triton's health is a real inference, of every pod in a cluster."""
    if settings.cluster is None:
        return [_valkey_status(settings), _triton_status(settings)]
    promoted = releases(settings).promoted()
    pods, canary = Pods(settings.cluster.agents), Pods(settings.cluster.canary_agents)
    return [
        _store_status(settings),
        *(_pod_status("Triton", pod, promoted) for pod in pods.states()),
        *(_pod_status("Canary", pod, None) for pod in canary.states()),
    ]


def _require_embedded(settings: Settings, instead: str) -> None:
    if settings.cluster is not None:
        raise ServiceError(
            f"the services of RECSYS_DEPLOYMENT={settings.deployment} are pods of the namespace "
            f"{settings.cluster.namespace}, which Kubernetes starts and stops: `{instead}`"
        )


def _store_status(settings: Settings) -> ServiceStatus:
    """Of a store that somebody else runs: the URL's secrets stay out of it."""
    url = urlsplit(settings.online_store_url)
    address = f"{url.hostname}:{url.port or 6379}"
    try:
        with connect_for_bulk(settings.online_store_url) as store:
            detail = SeenItems(store).info().summary()
    except STORE_ERRORS as error:
        return ServiceStatus("Valkey", address, None, "stopped", str(error))
    return ServiceStatus("Valkey", address, None, "healthy", detail)


def _pod_status(name: str, pod: PodState, promoted: Promoted | None) -> ServiceStatus:
    """How a pod is by what its agent says, and by what is promoted if it is to serve that."""
    serving = "" if pod.serving is None else f"release {pod.serving}"
    wanted = promoted.release if promoted else pod.wanted
    state: State = "degraded" if pod.degraded else "healthy"
    if not pod.asked:
        state = "stopped"
    elif wanted is None:
        state = "no release"
    elif pod.serving != wanted:
        state = "failing"
        serving = f"{serving or 'nothing'} instead of release {wanted}"
    return ServiceStatus(
        name, pod.address, None, state, "; ".join(filter(None, (serving, pod.error)))
    )


def _valkey_status(settings: Settings) -> ServiceStatus:
    valkey = Valkey.of(settings)
    answers = valkey.answers()
    return ServiceStatus(
        name="Valkey",
        address=str(valkey.address),
        pid=valkey.daemon.pid,
        state="healthy" if answers else "stopped",
        detail=_filters(settings) if answers else "`recsys up` starts it",
    )


def _filters(settings: Settings) -> str:
    with connect_for_bulk(settings.online_store_url) as client:
        return SeenItems(client).info().summary()


def _triton_status(settings: Settings) -> ServiceStatus:
    triton = TritonServer.of(settings)
    state, detail = _triton_health(triton, settings)
    return ServiceStatus("Triton", settings.triton_grpc, triton.daemon.pid, state, detail)


def _triton_health(triton: TritonServer, settings: Settings) -> tuple[State, str]:
    from tritonclient.utils import InferenceServerException

    if not triton.live():
        return "stopped", "`recsys up` starts it"
    promoted = releases(settings).promoted()
    if promoted is None:
        return "no release", "materialize promoted_release"
    try:
        with RecommendClient(settings.triton_grpc, probe=True) as client:
            # A user id, so that the answer needs the online store; any id will do.
            answer = client.recommend("health", int(time.time()), k=1)
    except InferenceServerException as error:
        return "failing", f"{error.message()}; `recsys up` loads release {promoted.release} anew"
    if answer.release != promoted.release:
        return "failing", f"release {promoted.release} is promoted, {answer.release} answers"
    return ("degraded" if answer.degraded else "healthy"), f"release {answer.release}"


__all__ = [
    "ServiceError",
    "ServiceStatus",
    "down",
    "embedded_server",
    "live_server",
    "releases",
    "running",
    "status",
    "stop_those",
    "up",
]
