"""What can be wrong with a running server, and how that is found out: by a real request, above all.

Nothing is changed here: `healing.py` does.
"""

import time
from dataclasses import dataclass
from typing import Literal

from recsys_assets.rollout.single_server import SingleServer
from recsys_assets.triton import model_processes
from recsys_assets.triton.client import RecommendClient, is_late, retry_after

Outcome = Literal["answered", "busy", "dead process", "failed"]
# A dead model process fails its request after one second; anything later is a busy server.
_SECONDS = 2.0
# Words of Triton.
_DEAD = "is not healthy"
FaultKind = Literal["store", "server", "process", "request", "release"]
# Anything but a dead process may pass by itself: it must be seen some times in a row.
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Probe:
    """What became of a request.

    Attributes:
        outcome: how it went.
        seconds: until it was answered or failed.
        release: the one that answered; None without an answer.
        degraded: whether the answer was.
        message: what the server said where it failed.
    """

    outcome: Outcome
    seconds: float
    release: int | None = None
    degraded: bool = False
    message: str = ""


def probe(grpc_address: str, user_id: str = "") -> Probe:
    """Asks, as an anonymous visitor unless told otherwise; the answer is no traffic, not logged."""
    from tritonclient.utils import InferenceServerException

    started = time.monotonic()
    try:
        # Waits no longer than it takes to tell a failure from a busy server.
        with RecommendClient(grpc_address, probe=True, timeout_seconds=_SECONDS) as client:
            answer = client.recommend(user_id, int(time.time()), k=1)
    except InferenceServerException as error:
        message = str(error.message())
        return Probe(outcome_of(error), time.monotonic() - started, message=message)
    seconds = time.monotonic() - started
    return Probe("answered", seconds, release=answer.release, degraded=answer.degraded)


def outcome_of(error: Exception) -> Outcome:
    """What an error of Triton says about the server.

    One that refuses, or is late, has too much to do: to load its release again would make that
    worse.
    """
    if retry_after(error) is not None or is_late(error):
        return "busy"
    return "dead process" if _DEAD in str(error) else "failed"


@dataclass(frozen=True)
class Fault:
    """What is wrong: the kind, for counting and for the remedy, and a line for a person."""

    kind: FaultKind
    text: str


@dataclass(frozen=True)
class Observation:
    """What one look at a server found.

    Attributes:
        fault: what is wrong, or None.
        probe: the real request; None if it was not needed to know that something is wrong.
        processes: how many live and how many should; None where they cannot be seen.
    """

    fault: Fault | None
    probe: Probe | None = None
    processes: tuple[int, int] | None = None


def observe(server: SingleServer, server_pid: int | None, promoted: int) -> Observation:
    """Looks at the processes of the promoted release, and asks for a slate.

    Args:
        server: where to ask.
        server_pid: of the server, if it runs beside this process, else None.
        promoted: the release that should answer.
    """
    seen = _look_once(server, server_pid, promoted)
    for _ in range(_ATTEMPTS - 1):
        if seen.fault is None or seen.fault.kind == "process":
            break
        time.sleep(_PAUSE_SECONDS)
        seen = _look_once(server, server_pid, promoted)
    return seen


def _look_once(server: SingleServer, server_pid: int | None, promoted: int) -> Observation:
    processes = None if server_pid is None else _processes(server, server_pid, promoted)
    if processes is not None and processes[0] < processes[1]:
        living, wanted = processes
        text = f"release {promoted} failed: {wanted - living} of {wanted} model processes are dead"
        return Observation(Fault("process", text), processes=processes)
    answer = probe(server.grpc)
    return Observation(_of_probe(answer, promoted), answer, processes)


def _processes(server: SingleServer, server_pid: int, promoted: int) -> tuple[int, int] | None:
    """Living and wanted ones; None if the server does not tell, as the probe will show as well."""
    from tritonclient.utils import InferenceServerException

    try:
        wanted = model_processes.wanted(server.grpc, promoted)
    except InferenceServerException:
        return None
    return len(model_processes.living(server_pid, promoted)), wanted


def _of_probe(answer: Probe, promoted: int) -> Fault | None:
    if answer.outcome == "failed":
        return Fault("request", f"release {promoted} failed: {answer.message}")
    if answer.outcome == "dead process":
        return Fault("process", f"release {promoted} failed: {answer.message}")
    if answer.release not in (None, promoted):
        text = f"release {answer.release} answered instead of release {promoted}"
        return Fault("release", text)
    return None
