"""The processes that Triton runs a release in, one for each instance of the model `pipeline`.

Triton neither starts a dead one again nor tells: with two instances, the living one answers nearly
every request, probes included, while the dead one takes one request after another and fails it
after a second. So whoever runs beside the server counts the processes.
"""

import os
import signal
from pathlib import Path

from recsys_assets.runtime.processes import ServiceError
from recsys_assets.runtime.waiting import WaitedTooLong, wait_for
from recsys_assets.triton.repository import PIPELINE

_STUB = b"triton_python_backend_stub"
_SERVER = b"tritonserver"
_TIMEOUT_SECONDS = 10.0  # a refused connection fails at once


def server_of(repository: Path) -> int | None:
    """Pid of the server over a model repository; None if its process cannot be seen from here.

    In a pod it can where containers share their processes (`shareProcessNamespace`).
    """
    option = f"--model-repository={repository}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        program, *arguments = _command(entry).split(b"\0")
        if program.endswith(_SERVER) and option in arguments:
            return int(entry.name)
    return None


def living(server_pid: int, release: int) -> set[int]:
    """Pids of the processes of a release that live, of the server with this pid."""
    model = f"/{PIPELINE}/{release}/".encode()
    processes = Path("/proc").glob("[0-9]*")
    return {int(entry.name) for entry in processes if _is_ours(entry, server_pid, model)}


def end(server_pid: int, release: int, pids: set[int], seconds: float) -> None:
    """Ends those of `pids` that still are processes of the release, which may take `seconds`.

    Triton never gets to the end of unloading a model one of whose processes has died, so the
    others would keep their memory for ever.

    Raises:
        ServiceError: the kernel does not end them.
    """
    for pid in living(server_pid, release) & pids:
        os.kill(pid, signal.SIGKILL)
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


def _is_ours(process: Path, server_pid: int, model: bytes) -> bool:
    """Whether a process is a stub of the model, in the server's session; a zombie is none."""
    command = _command(process)
    try:
        return _STUB in command and model in command and os.getsid(int(process.name)) == server_pid
    except ProcessLookupError:
        return False  # it has ended meanwhile


def _command(process: Path) -> bytes:
    """Its program and arguments, a zero byte after each; empty if it has ended."""
    try:
        return (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


__all__ = ["end", "living", "server_of", "wanted"]
