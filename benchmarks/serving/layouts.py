"""What is measured: a running server, whoever has started it.

Each layout is a context manager of a `Running`, so that whatever it starts is stopped again. The
deployment of the settings is the exception: it was there before and is left running.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from recsys_assets.runtime.processes import ServiceError
from recsys_assets.services import deployment
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import Settings
from recsys_assets.triton.client import MODEL
from recsys_assets.triton.server import TritonServer

OURS = "ours"
CASE_STUDY = "case_study"
CASE_STUDY_CACHED = "case_study_cached"
FLOOR = "floor"

_STUB = "triton_python_backend_stub"
_STUB_NAME_FIELD = 8  # of a stub's command line: its model and instance, such as pipeline_0_1


@dataclass(frozen=True)
class Running:
    """A server under measurement.

    Attributes:
        grpc: host:port of its KServe v2 endpoint.
        model: name of the model, with the inputs and outputs of `recommend`.
        processes: pid by name, such as tritonserver; their Triton stubs are found by themselves.
        metrics: host:port of its Prometheus endpoint; empty if it has none.
    """

    grpc: str
    model: str
    processes: Mapping[str, int]
    metrics: str = ""


class Layout(Protocol):
    """A way to serve the same models and data."""

    @property
    def name(self) -> str:
        """Its name in the report."""

    def start(self) -> AbstractContextManager[Running]:
        """Starts it, yields it once it answers, and stops what it has started."""


@dataclass(frozen=True)
class Ours:
    """The deployment of the settings, with its promoted release."""

    settings: Settings
    name: str = OURS

    @contextmanager
    def start(self) -> Iterator[Running]:
        """Starts what is not running, as `recsys up` does, and leaves it running.

        Raises:
            ServiceError: a service does not start, or no release is promoted.
        """
        deployment.up(self.settings)
        if deployment.releases(self.settings).promoted() is None:
            raise ServiceError(
                f"no release is promoted in {self.settings.home}: run `recsys demo` first"
            )
        yield running_deployment(self.settings)


def running_deployment(settings: Settings) -> Running:
    """The deployment of the settings as it runs now.

    Raises:
        ServiceError: Triton does not run as a process of this deployment.
    """
    triton, valkey = TritonServer.of(settings).daemon.pid, Valkey.of(settings).daemon.pid
    if triton is None:
        raise ServiceError(f"no Triton of {settings.home} runs: `recsys up` starts it")
    processes = {"tritonserver": triton}
    if valkey is not None:
        processes["valkey"] = valkey
    return Running(settings.triton_grpc, MODEL, processes, settings.triton_metrics)


def stubs_of(triton: int) -> dict[str, int]:
    """Pids of the model processes of a Triton server, by model and instance."""
    found = {}
    for process in _children(triton):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            command = process.cmdline()
            if command and command[0].endswith(_STUB):
                version = Path(command[1]).parent.name
                found[f"{command[_STUB_NAME_FIELD]} v{version}"] = int(process.pid)
    return found


def _children(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children())
    return []


def all_processes(running: Running) -> dict[str, int]:
    """Pids of the server's processes with the stubs that it has now, by name."""
    stubs: dict[str, int] = {}
    for name, pid in running.processes.items():
        if name.startswith("tritonserver"):
            stubs |= stubs_of(pid)
    return {**running.processes, **stubs}
