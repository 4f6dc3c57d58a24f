"""How what is wrong with a running server is put right without a person.

A model process that dies is loaded again (Triton does not do that by itself, and reports such a
model as ready), and a server that answers with another release than the promoted one, as after a
promotion that was killed half-way, is brought to it. What is wrong is found out in `faults.py`.
"""

import logging

from recsys_assets.releases.release import MissingRelease, Promoted
from recsys_assets.rollout.faults import Observation, observe
from recsys_assets.rollout.model_control import prove, unload
from recsys_assets.rollout.release_target import PromotionError
from recsys_assets.rollout.single_server import (
    Recorded,
    SingleServer,
    bring,
    kept_loaded,
    load_beside,
    serve_promoted,
    switch,
)
from recsys_assets.rollout.watch_metrics import WatchMetrics
from recsys_assets.triton import model_processes

_LOG = logging.getLogger(__name__)


def reconcile(
    present: Recorded,
    server: SingleServer,
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


def _look(
    present: Recorded, server: SingleServer, server_pid: int | None, metrics: WatchMetrics
) -> Observation:
    promoted = present.promoted()
    seen = Observation(None) if promoted is None else observe(server, server_pid, promoted.release)
    metrics.saw(seen, 0 if promoted is None else promoted.release)
    return seen


def correct(present: Recorded, server: SingleServer, answering: int) -> None:
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


def _renew(present: Recorded, server: SingleServer, server_pid: int | None) -> None:
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


def _renewed_beside(present: Recorded, server: SingleServer, promoted: Promoted) -> bool:
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
