"""The embedded services of one deployment: up, down, and how they are."""

import time
from dataclasses import dataclass
from typing import Literal

from recsys_assets.serving.circuit import connect_for_bulk
from recsys_assets.serving.client import RecommendClient
from recsys_assets.serving.processes import ServiceError
from recsys_assets.serving.promotion import LiveServer, serve_promoted
from recsys_assets.serving.release import MissingRelease, Releases
from recsys_assets.serving.seen_items import SeenItems
from recsys_assets.serving.triton import Triton
from recsys_assets.serving.valkey import Valkey
from recsys_assets.settings import Settings
from recsys_assets.storage import Store

State = Literal["healthy", "degraded", "no release", "failing", "stopped"]


@dataclass(frozen=True)
class ServiceStatus:
    """How one service is. `detail` says what is known beyond the state, or what to do."""

    name: str
    address: str
    pid: int | None
    state: State
    detail: str


def live_server(settings: Settings) -> LiveServer:
    """The Triton server that the settings mean, as promotion sees it."""
    return LiveServer(settings.triton_grpc, Triton.of(settings).repository)


def releases(settings: Settings) -> Releases:
    """The releases of the settings' store."""
    return Releases(Store(settings.storage_url))


def up(settings: Settings) -> list[ServiceStatus]:
    """Starts what is not running, serves the promoted release, and returns the state of all.

    Raises:
        ServiceError: a service does not start, or the promoted release cannot be served; the
            message says why and what to do.
    """
    Valkey.of(settings).start()
    Triton.of(settings).start()
    try:
        serve_promoted(releases(settings), live_server(settings))
    except MissingRelease as error:
        raise ServiceError(f"the promoted release is gone: {error}") from None
    return status(settings)


def down(settings: Settings) -> list[str]:
    """Stops the embedded services; returns the names of those that were running."""
    stopped = []
    for name, service in (("Triton", Triton.of(settings)), ("Valkey", Valkey.of(settings))):
        if service.stop():
            stopped.append(name)
    return stopped


def status(settings: Settings) -> list[ServiceStatus]:
    """How Valkey and Triton are; Triton's health is a real inference."""
    return [_valkey_status(settings), _triton_status(settings)]


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
    triton = Triton.of(settings)
    state, detail = _triton_health(triton, settings)
    return ServiceStatus("Triton", settings.triton_grpc, triton.daemon.pid, state, detail)


def _triton_health(triton: Triton, settings: Settings) -> tuple[State, str]:
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
    "live_server",
    "releases",
    "status",
    "up",
]
