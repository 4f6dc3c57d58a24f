"""How what is wrong with the embedded services is put right without a person.

A process that dies is started again, a model process that dies is loaded again (Triton does not do
that by itself, and reports such a model as ready), and a server that answers with another release
than the promoted one, as after a promotion that was killed half-way, is brought to it. On
Kubernetes the first is the kubelet's work, the second and third are done by `agent.py` in each pod.
What is wrong is found out in `faults.py`.
"""

import logging
from collections.abc import Callable, Iterator

from recsys_assets.releases.release import MissingRelease, Promoted
from recsys_assets.rollout.faults import Fault, Seen, look
from recsys_assets.rollout.model_control import prove, unload
from recsys_assets.rollout.release_target import PromotionError
from recsys_assets.rollout.single_server import (
    LiveServer,
    Recorded,
    bring,
    kept_loaded,
    load_beside,
    serve_promoted,
    switch,
)
from recsys_assets.rollout.watch_metrics import WatchMetrics
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.services.deployment import embedded_server, releases, up
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import Settings
from recsys_assets.triton import model_processes
from recsys_assets.triton.server import Triton

# With a load of some seconds this leaves a dead process five seconds from its end to its return.

_LOG = logging.getLogger(__name__)


def heal(
    present: Recorded,
    server: LiveServer,
    server_pid: int | None = None,
    metrics: WatchMetrics | None = None,
) -> str | None:
    """Makes a running server answer with the promoted release, if it does not.

    Args:
        present: the releases, one of them promoted.
        server: the server.
        server_pid: its pid, if it runs beside this process: then a dead model process is found
            although another one of the same release still answers.
        metrics: told what was found.

    Returns:
        What was wrong, or None where nothing was.

    Raises:
        PromotionError: the release cannot be served.
        MissingRelease: it is gone from the store.
    """
    metrics = metrics or WatchMetrics()
    if _look(present, server, server_pid, metrics).fault is None:
        return None
    with server.exclusive():
        # A promotion was on its way, perhaps, and has ended what looked like a fault.
        seen = _look(present, server, server_pid, metrics)
    fault = seen.fault
    if fault is None:
        return None
    if fault.kind == "process":
        _renew(present, server, server_pid)
    elif seen.probe is not None and seen.probe.release is not None:
        correct(present, server, seen.probe.release)
    else:
        serve_promoted(present, server)
    metrics.healed(fault.kind)
    return fault.text


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
    pid = Triton.of(settings).daemon.pid
    try:
        healed = heal(releases(settings), embedded_server(settings), pid, metrics)
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
    if not Triton.of(settings).live():
        faults.append(Fault("server", "Triton did not answer"))
        metrics.saw_no_server()
    return faults


def _look(
    present: Recorded, server: LiveServer, server_pid: int | None, metrics: WatchMetrics
) -> Seen:
    promoted = present.promoted()
    seen = Seen(None) if promoted is None else look(server, server_pid, promoted.release)
    metrics.saw(seen, 0 if promoted is None else promoted.release)
    return seen


def correct(present: Recorded, server: LiveServer, answering: int) -> None:
    """Gets from the release that answers to the promoted one; failing that, all stays as it is.

    Raises:
        PromotionError: the promoted release cannot be served.
        MissingRelease: it is gone from the store.
    """
    with server.exclusive():
        promoted = present.promoted()
        if promoted is None:
            return
        loaded = kept_loaded(promoted) | {answering}
        try:
            bring(present, server, promoted.release, answering, loaded)
        except (PromotionError, OSError):
            switch(present, server, answering, {answering})
            raise


def _renew(present: Recorded, server: LiveServer, server_pid: int | None) -> None:
    """Starts the processes of the promoted release anew."""
    promoted = present.promoted()
    if promoted is None:
        return
    old = model_processes.living(server_pid, promoted.release) if server_pid else set()
    if not _renewed_beside(present, server, promoted):
        unload(server.grpc, server.wait_seconds)
        serve_promoted(present, server)
    if server_pid:
        model_processes.end(server_pid, promoted.release, old, server.wait_seconds)


def _renewed_beside(present: Recorded, server: LiveServer, promoted: Promoted) -> bool:
    """Does so while the release before answers: only what a dead process took has failed.

    Returns:
        Whether that could be done: there must be a sound release before it.
    """
    if promoted.previous is None:
        return False
    loaded = {promoted.release, promoted.previous}
    try:
        with server.exclusive():
            prove(server.grpc, promoted.previous, server.wait_seconds)
            load_beside(present, server, promoted.release, promoted.previous)
            switch(present, server, promoted.release, loaded)
    except (PromotionError, MissingRelease) as error:
        _LOG.warning("the release before cannot take over, so all is loaded anew: %s", error)
        return False
    return True
