"""The embedded Triton Inference Server: the same server as in production, on this machine's CPU.

The binary comes out of the package `nvidia-pytriton` of the models environment, whose Python
also runs the served models (`recsys_assets` must be installed there). Models are loaded by
explicit command only, so that nothing changes in what is served but by promotion.
"""

import json
import logging
import math
import os
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from recsys_assets.runtime.processes import (
    Address,
    Daemon,
    ServiceError,
    StuckLoad,
    require_free_port,
)
from recsys_assets.settings import WAIT_SECONDS, Settings
from recsys_assets.triton.client import is_live

T = TypeVar("T")

_EXIT_SECONDS = 5
# The Python backend of Triton 24.10 throws it, and the server aborts, where its processes were held
# up at the wrong moment of a start.
_ABORTED = "boost::interprocess::lock_exception"
_ABORT_BYTES = 50_000  # of the log: the message and the stack that is printed after it
_LOG = logging.getLogger(__name__)
_CACHE_BYTES = 64 << 20  # of answers to anonymous visitors, some 300 bytes each
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory, not a temporary file
_PROBE = """
import importlib.metadata, importlib.util, json, sys, sysconfig
found = importlib.util.find_spec("pytriton")
print(json.dumps({
    "package": found.submodule_search_locations[0] if found else None,
    "numpy": importlib.metadata.version("numpy"),
    "libdir": sysconfig.get_config_var("LIBDIR"),
    "version": "%d.%d" % sys.version_info[:2],
    "recsys_assets": importlib.util.find_spec("recsys_assets") is not None,
}))
"""


@dataclass(frozen=True)
class Addresses:
    """The three addresses that a Triton server listens on."""

    http: Address
    grpc: Address
    metrics: Address


@dataclass(frozen=True)
class TritonServer:
    """A Triton server over `repository`, with its pid file, log and links in `folder`.

    `online_store_url` is handed to the served models, which look users up there. The server may
    take `wait_seconds` to start, and so may each of its model processes.
    """

    python: Path
    repository: Path
    folder: Path
    addresses: Addresses
    online_store_url: str
    wait_seconds: float = WAIT_SECONDS

    @classmethod
    def of(cls, settings: Settings) -> "TritonServer":
        """The one that the settings mean, over the live repository."""
        return cls(
            python=settings.models_python,
            repository=settings.triton_repository,
            folder=settings.home / "triton",
            addresses=Addresses(
                http=Address.parse(settings.triton_http),
                grpc=Address.parse(settings.triton_grpc),
                metrics=Address.parse(settings.triton_metrics),
            ),
            online_store_url=settings.online_store_url,
            wait_seconds=settings.wait_seconds,
        )

    @property
    def daemon(self) -> Daemon:
        """The process."""
        return Daemon("Triton", self.folder / "triton.pid", self.folder / "triton.log")

    @property
    def shared_memory_prefix(self) -> str:
        """Prefix of this server's shared memory regions, its own by folder, as its process is.

        The next server there removes what a killed one has left, whatever ports either has.
        """
        return f"recsys_{zlib.crc32(str(self.folder).encode()):08x}_"

    def start(self) -> int:
        """Starts the server with no model loaded, or finds it running; returns its pid.

        Raises:
            ServiceError: a port is taken, the models environment cannot serve, or the server
                did not come up.
        """
        daemon = self.daemon
        pid = daemon.find(self.live, self.wait_seconds)
        if pid is None:
            installed = _installed(self.python)
            self._require_free_ports()
            self.repository.mkdir(parents=True, exist_ok=True)
            self._remove_shared_memory()
            pid = daemon.start(self._command(installed), self._environment(installed))
            daemon.wait_until(self.live, self.wait_seconds)
        return pid

    def start_and(self, load: Callable[[], T]) -> T:
        """Starts the server, and loads; both once more should the server abort in between.

        Raises:
            ServiceError: of `start`, or of `load`.
        """
        self.start()
        try:
            return load()
        except ServiceError as error:
            if not self.revive(error):
                raise
        return load()

    def revive(self, error: ServiceError) -> bool:
        """Starts it again if that gets over what a load failed by, which is a fault of its backend.

        It may have aborted. Or it hangs: a model process that does not answer within a second is
        given up, and then waited for until it ends, which it does not.

        Args:
            error: of the load, or with that as its cause.

        Returns:
            Whether it was started again.

        Raises:
            ServiceError: of `start`.
        """
        if isinstance(error, StuckLoad) or isinstance(error.__cause__, StuckLoad):
            _LOG.warning("Triton does not get to the end of a load (%s): it is started anew", error)
            self.stop()
        elif not self.live() and self._has_aborted():
            _LOG.warning("Triton aborted while loading (%s): it is started again", _ABORTED)
        else:
            return False
        self.start()
        return True

    def _has_aborted(self) -> bool:
        daemon = self.daemon
        return daemon.log_file.is_file() and _ABORTED in daemon.log_tail(_ABORT_BYTES)

    def stop(self) -> bool:
        """Stops the server; requests in flight have the exit timeout to finish."""
        stopped = self.daemon.stop(seconds=_EXIT_SECONDS + 10.0)
        self._remove_shared_memory()
        return stopped

    def live(self) -> bool:
        """Whether the server accepts requests; says nothing about its models."""
        return is_live(str(self.addresses.grpc))

    def _require_free_ports(self) -> None:
        for name in ("http", "grpc", "metrics"):
            address: Address = getattr(self.addresses, name)
            require_free_port(address, f"Triton ({name})", f"RECSYS_TRITON_{name.upper()}")

    def _remove_shared_memory(self) -> None:
        """Removes regions that a killed server of ours has left; only while none runs."""
        for region in _SHARED_MEMORY.glob(f"{self.shared_memory_prefix}*"):
            region.unlink(missing_ok=True)

    def _command(self, installed: "_Installed") -> list[str]:
        addresses = self.addresses
        return [
            str(installed.server),
            f"--model-repository={self.repository}",
            f"--backend-directory={self._backends(installed)}",
            f"--cache-directory={installed.package / 'tritonserver' / 'caches'}",
            f"--http-address={addresses.http.host}",
            f"--http-port={addresses.http.port}",
            f"--grpc-address={addresses.grpc.host}",
            f"--grpc-port={addresses.grpc.port}",
            f"--metrics-address={addresses.metrics.host}",
            f"--metrics-port={addresses.metrics.port}",
            "--model-control-mode=explicit",
            "--strict-readiness=false",
            "--disable-auto-complete-config",
            "--allow-gpu-metrics=false",
            "--metrics-config=summary_latencies=true",
            f"--cache-config=local,size={_CACHE_BYTES}",
            f"--exit-timeout-secs={_EXIT_SECONDS}",
            f"--backend-config=python,shm-region-prefix-name={self.shared_memory_prefix}",
            f"--backend-config=python,stub-timeout-seconds={math.ceil(self.wait_seconds)}",
        ]

    def _backends(self, installed: "_Installed") -> Path:
        """A backend folder laid out as Triton wants it, by links into the wheel."""
        wheel = installed.package / "tritonserver"
        stub = f"python_backend_stubs/{installed.version}/triton_python_backend_stub"
        backends = self.folder / "backends"
        python = backends / "python"
        python.mkdir(parents=True, exist_ok=True)
        for source in (
            "backends/python/libtriton_python.so",
            "backends/python/triton_python_backend_utils.py",
            stub,
        ):
            link = python / Path(source).name
            link.unlink(missing_ok=True)
            link.symlink_to(wheel / source)
        return backends

    def _environment(self, installed: "_Installed") -> dict[str, str]:
        """Of server and stubs. The stubs take the first `python3` of PATH.

        They compute on one thread each, as requests are many.
        """
        libraries = [installed.libdir, str(installed.package.parent / "nvidia_pytriton.libs")]
        inherited = dict(os.environ)
        path = [str(self.python.parent), inherited.get("PATH", os.defpath)]
        return {
            **inherited,
            "PATH": os.pathsep.join(path),
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "RECSYS_ONLINE_STORE_URL": self.online_store_url,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }


@dataclass(frozen=True)
class _Installed:
    """What the models environment has of Triton."""

    package: Path
    libdir: str
    version: str

    @property
    def server(self) -> Path:
        return self.package / "tritonserver" / "bin" / "tritonserver"


def _installed(python: Path) -> _Installed:
    """Looks into the models environment.

    Raises:
        ServiceError: there is none, or it cannot serve. NumPy 2 in particular would not fail:
            tensors would silently reach the models as zeros.
    """
    if not python.is_file():
        raise ServiceError(
            f"no Python at {python}: run `make setup`, or set RECSYS_MODELS_PYTHON to the "
            "interpreter of the models environment"
        )
    found = json.loads(
        subprocess.run(
            [str(python), "-I", "-c", _PROBE], check=True, capture_output=True, text=True
        ).stdout
    )
    if found["package"] is None:
        raise ServiceError(f"nvidia-pytriton is not installed in the environment of {python}")
    if int(found["numpy"].split(".")[0]) >= 2:
        raise ServiceError(
            f"the environment of {python} has numpy {found['numpy']}; this Triton hands zeros "
            "to models under numpy 2 without an error. Install numpy<2 there."
        )
    if not found["recsys_assets"]:
        raise ServiceError(
            f"recsys_assets is not installed in the environment of {python}, which runs the "
            "served models: run `make setup`"
        )
    return _Installed(Path(found["package"]), found["libdir"], found["version"])
