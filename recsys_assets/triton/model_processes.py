"""The processes that Triton runs a release in, one for each instance of the model `pipeline`.

Triton neither starts a dead one again nor tells: with two instances, the living one answers nearly
every request, probes included, while the dead one takes one request after another and fails it
after a second. So whoever runs beside the server counts the processes.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from recsys_assets.runtime.processes import ServiceError
from recsys_assets.runtime.waiting import WaitedTooLong, wait_for
from recsys_assets.triton.repository import PIPELINE

_STUB = "triton_python_backend_stub"
_SERVER = "tritonserver"
_TIMEOUT_SECONDS = 10.0  # a refused connection fails at once


def server_of(repository: Path) -> int | None:
    """Pid of the server over a model repository; None if its process cannot be seen from here.

    In a pod it can where containers share their processes (`shareProcessNamespace`).
    """
    option = f"--model-repository={repository}"
    for process in psutil.process_iter(["cmdline"]):
        program, *arguments = process.info["cmdline"] or [""]
        if program.endswith(_SERVER) and option in arguments:
            return int(process.pid)
    return None


def living(server_pid: int, release: int) -> set[int]:
    """Pids of the processes of a release that live, of the server with this pid."""
    return {process.pid for process in _living(server_pid, release)}


def end(server_pid: int, release: int, pids: set[int], seconds: float) -> None:
    """Ends those of `pids` that still are processes of the release, which may take `seconds`.

    Triton never gets to the end of unloading a model one of whose processes has died, so the
    others would keep their memory for ever.

    Raises:
        ServiceError: the kernel does not end them.
    """
    for process in _living(server_pid, release):
        if process.pid in pids:
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                process.kill()
    what = f"processes {sorted(pids)} of release {release} to end"
    try:
        wait_for(lambda: not living(server_pid, release) & pids, what, seconds)
    except WaitedTooLong as error:
        raise ServiceError(str(error)) from None


def wanted(grpc_address: str, release: int) -> int:
    """How many the server should run for a release; 0 if it does not know the release.

    Raises:
        tritonclient.utils.InferenceServerException: the server does not answer.
    """
    import tritonclient.grpc as grpc

    with grpc.InferenceServerClient(grpc_address) as client:
        limit = {"client_timeout": _TIMEOUT_SECONDS}
        if not client.is_model_ready(PIPELINE, str(release), **limit):
            return 0
        config = client.get_model_config(PIPELINE, str(release), **limit).config
    return sum(int(group.count) * max(1, len(group.gpus)) for group in config.instance_group)


def _living(server_pid: int, release: int) -> Iterator[psutil.Process]:
    """The stubs of a release in the server's session; one that has ended has no command."""
    model = f"/{PIPELINE}/{release}/"
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if _STUB in command and model in command and _session_of(process) == server_pid:
            yield process


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None  # it has ended meanwhile
