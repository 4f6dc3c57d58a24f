"""How what is wrong with the embedded services is put right without a person.

A process that dies is started again; what a running server lacks is `rollout.healing`'s work. On
Kubernetes the first is the kubelet's, the second is done by an agent in each pod.
"""

from collections.abc import Callable, Iterator

from recsys_assets.releases.release import MissingRelease
from recsys_assets.rollout.faults import Fault
from recsys_assets.rollout.healing import reconcile
from recsys_assets.rollout.watch_metrics import WatchMetrics
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.services.deployment import embedded_server, releases, up
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import Settings
from recsys_assets.triton.server import TritonServer


def heal_services(settings: Settings, metrics: WatchMetrics | None = None) -> list[str]:
    """Looks at Valkey, Triton and the release once; returns what was wrong and has been healed.

    Raises:
        ServiceError: what is wrong cannot be healed; the message says what to do.
    """
    metrics = metrics or WatchMetrics()
    down = _down(settings, metrics)
    if down:
        up(settings)
        for fault in down:
            metrics.healed(fault.kind)
        return [fault.text for fault in down]
    pid = TritonServer.of(settings).daemon.pid
    try:
        healed = reconcile(releases(settings), embedded_server(settings), pid, metrics)
    except MissingRelease as error:
        raise ServiceError(f"the promoted release is gone: {error}") from None
    return [healed] if healed else []


def watch(
    settings: Settings,
    every_seconds: float,
    wait: Callable[[float], bool],
    metrics: WatchMetrics | None = None,
) -> Iterator[str]:
    """Heals, and yields a line for whatever was healed or could not be.

    A fault that stays is named once, not at every look.

    Args:
        settings: of the services.
        every_seconds: between two looks.
        wait: for that long; whether to end then, as `threading.Event.wait` says it.
        metrics: to be kept.
    """
    metrics = metrics or WatchMetrics()
    said: list[str] = []
    while True:
        try:
            lines = [f"healed: {fault}" for fault in heal_services(settings, metrics)]
        except ServiceError as error:
            metrics.could_not_heal()
            lines = [f"cannot be healed: {error}"]
        if lines != said:
            yield from lines
        if wait(every_seconds):
            return
        said = lines


def _down(settings: Settings, metrics: WatchMetrics) -> list[Fault]:
    """The services that do not answer at all."""
    faults = []
    if not Valkey.of(settings).answers():
        faults.append(Fault("store", "Valkey did not answer"))
    if not TritonServer.of(settings).live():
        faults.append(Fault("server", "Triton did not answer"))
        metrics.saw_no_server()
    return faults
