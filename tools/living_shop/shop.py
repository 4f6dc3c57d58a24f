"""A living shop's folder, its settings, and the processes that run it as on a server of its own."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from recsys_assets.defs.runs.instance import dagster_environment
from recsys_assets.runtime.processes import Daemon, free_addresses
from recsys_assets.settings import REPOSITORY, Settings, load_settings
from recsys_assets.storage.filesystem import write_atomically
from tools.living_shop.plan import Plan

TIME_ZONE = "America/New_York"  # of the recorded shop; it has daylight saving
RECSYS = ("-c", "from recsys_assets.cli import main; main()")
_LINES = 20
_ADDRESSES = ("code_server", "valkey", "http", "grpc", "metrics")
_NOT_LIVE = ("RECSYS_TODAY", "RECSYS_LAST_DAY", "RECSYS_STORAGE", "RECSYS_DEPLOYMENT")


class FailedCommand(RuntimeError):
    """A command of the shop has failed; the message ends with what it said."""


@dataclass(frozen=True)
class Shop:
    """What lies in `folder`: `deliveries/`, `home/` (the recommender's), and the clock's files."""

    folder: Path
    plan: Plan

    @property
    def deliveries(self) -> Path:
        """Where the shop's files arrive."""
        return self.folder / "deliveries"

    @property
    def scratch(self) -> Path:
        """Where all is computed from scratch at the end: its own `deliveries/` and `home/`."""
        return self.folder / "scratch"

    @property
    def summary(self) -> Path:
        """The figures of its life."""
        return self.folder / "summary.json"

    def has_begun(self) -> bool:
        """Whether its first release is made."""
        return self._begun.exists()

    def note_begin(self) -> None:
        """Notes that its first release is made."""
        self._begun.touch()

    @property
    def _begun(self) -> Path:
        return self.folder / "begun"

    def variables(self, clock: Mapping[str, str]) -> dict[str, str]:
        """The environment of the shop's processes: what README says for own live data."""
        kept = {name: value for name, value in os.environ.items() if name not in _NOT_LIVE}
        return kept | {
            **clock,
            "TZ": TIME_ZONE,
            "RECSYS_TIME_ZONE": TIME_ZONE,
            "RECSYS_HOME": str(self.folder / "home"),
            "RECSYS_SOURCE": "parquet",
            "RECSYS_SOURCE_URL": str(self.deliveries),
            "RECSYS_FIRST_DAY": self.plan.history_from.isoformat(),
            "RECSYS_ONLINE_STORE_URL": f"redis://{self._addresses['valkey']}/0",
            "RECSYS_TRITON_HTTP": self._addresses["http"],
            "RECSYS_TRITON_GRPC": self._addresses["grpc"],
            "RECSYS_TRITON_METRICS": self._addresses["metrics"],
        }

    def settings(self) -> Settings:
        """The recommender's settings; this process lives by the system's clock."""
        return load_settings(self.variables({}))

    def run(self, variables: Mapping[str, str], name: str, *command: str) -> None:
        """Runs a command to its end; what it says goes to `log/<name>.log`.

        Raises:
            FailedCommand: it failed.
        """
        log = self.folder / "log" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            code = subprocess.run(
                [sys.executable, "-W", "ignore", *command],
                env=dict(variables),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            ).returncode
        if code:
            end = "\n".join(log.read_text(errors="replace").splitlines()[-_LINES:])
            raise FailedCommand(f"{name} ended with {code}; {log} ends with\n{end}")

    @contextmanager
    def code_server(self, variables: Mapping[str, str]) -> Iterator[Path]:
        """Dagster's code server, which lives as long as one in a cluster does; a workspace of it.

        The daemon would start one anew every minute.
        """
        host, _, port = self._addresses["code_server"].rpartition(":")
        (location,) = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"]
        module = location["python_module"]
        folder = self.folder / "code-server"
        server = Daemon("code-server", folder / "server.pid", folder / "server.log")
        server.stop()
        arguments = ["-m", module["module_name"], "--host", host, "--port", port]
        command = [sys.executable, "-m", "dagster", "api", "grpc", *arguments]
        server.start(command, {**variables, **dagster_environment(self.settings())})
        try:
            server.wait_until(lambda: _listens(host, int(port)), self.settings().wait_seconds)
            address = {"host": host, "port": int(port), "location_name": module["location_name"]}
            workspace = self.folder / "workspace.yaml"
            workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": address}]}))
            yield workspace
        finally:
            server.stop()

    @cached_property
    def _addresses(self) -> dict[str, str]:
        """Addresses of this shop's servers, kept for when it goes on."""
        file = self.folder / "addresses.json"
        if not file.exists():
            free = map(str, free_addresses(len(_ADDRESSES)))
            found = dict(zip(_ADDRESSES, free, strict=True))
            write_atomically(file.as_uri(), json.dumps(found).encode())
        addresses: dict[str, str] = json.loads(file.read_text())
        return addresses


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
