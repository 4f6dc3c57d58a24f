"""Server processes that outlive the command that started them: pid files, ports, stopping by pid.

What belongs here: what every embedded server needs. What one server needs of its own (arguments,
health) is in `valkey.py` and `triton.py`.
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_assets.runtime.waiting import WaitedTooLong, wait_for

_LOG_TAIL_BYTES = 2_000
_STOP_SECONDS = 60.0


class ServiceError(RuntimeError):
    """An embedded service cannot be started, reached or stopped; the message says what to do."""


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, value: str) -> "Address":
        """From `host:port`."""
        host, _, port = value.rpartition(":")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def require_free_port(address: Address, service: str, variable: str) -> None:
    """Refuses an address that something else listens on, or that is not this machine's.

    Raises:
        ServiceError: names the address and the environment variable that moves it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise ServiceError(
                f"{service} cannot listen on {address}: {error.strerror}. Stop what uses port "
                f"{address.port} (`ss -ltnp 'sport = :{address.port}'` shows it), or set "
                f"{variable} to another address."
            ) from None


class StuckLoad(ServiceError):
    """A server did not get to the end of what it was told in time; it may never."""


class EndedWhileStarting(ServiceError):
    """A process ended before it was ready."""


@dataclass(frozen=True)
class Daemon:
    """One detached process, known by its pid file.

    `pid_file` holds the pid and the process's start time, so that a pid which the kernel has
    given to another process is never taken, or stopped, for ours; and where in the log, to which
    each process appends, it has begun.
    """

    name: str
    pid_file: Path
    log_file: Path

    @property
    def pid(self) -> int | None:
        """Pid of the running process, or None."""
        record = self._record()
        if record is None:
            return None
        started = started_at(record["pid"])
        # One that ended before its start could be recorded has None on both sides.
        return record["pid"] if started is not None and started == record["started"] else None

    def _record(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads(self.pid_file.read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            raise ServiceError(
                f"{self.pid_file} is damaged: delete it once no {self.name} runs"
            ) from None
        return record

    def start(self, command: Sequence[str], env: Mapping[str, str]) -> int:
        """Starts the command in a session of its own, its output appended to the log file."""
        for file in (self.pid_file, self.log_file):
            file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            log_from = log.tell()
            process = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.pid_file.parent,
                start_new_session=True,
            )
        staging = self.pid_file.with_suffix(".new")
        record = {"pid": process.pid, "started": started_at(process.pid), "log_from": log_from}
        staging.write_text(json.dumps(record))
        staging.replace(self.pid_file)
        return process.pid

    def find(self, ready: Callable[[], bool], seconds: float) -> int | None:
        """Pid of the running process once it is ready.

        Returns:
            None if none runs, or if the one found was about to end: a killed process is still
            there for a moment.

        Raises:
            ServiceError: it was not ready in time, and was stopped.
        """
        pid = self.pid
        if pid is None:
            return None
        try:
            self.wait_until(ready, seconds)
        except EndedWhileStarting:
            return None
        return pid

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Waits until the process is ready; stops it if it does not get there.

        Raises:
            EndedWhileStarting: it ended; with the end of its log.
            ServiceError: it took longer than `seconds`; likewise.
        """

        def is_ready() -> bool:
            if ready():
                return True
            if self.pid is None:
                raise EndedWhileStarting(f"{self.name} ended while starting. {self.log_tail()}")
            return False

        try:
            wait_for(is_ready, f"{self.name} to start", seconds)
        except WaitedTooLong as error:
            said = self.log_tail()
            self.stop()
            raise ServiceError(f"{error}. {said}") from None

    def stop(self, seconds: float = _STOP_SECONDS) -> bool:
        """Asks the process to end, then kills its group; True if there was one to stop."""
        pid = self.pid
        if pid is None:
            self.pid_file.unlink(missing_ok=True)
            return False
        os.kill(pid, signal.SIGTERM)
        if not self._ended_within(seconds):
            os.killpg(pid, signal.SIGKILL)
            if not self._ended_within(_STOP_SECONDS):
                raise ServiceError(f"{self.name} (pid {pid}) does not end: stop it by hand")
        self.pid_file.unlink(missing_ok=True)
        return True

    def _ended_within(self, seconds: float) -> bool:
        try:
            return wait_for(lambda: self.pid is None, f"{self.name} to end", seconds)
        except WaitedTooLong:
            return False

    def log_tail(self, length: int = _LOG_TAIL_BYTES) -> str:
        """The last bytes that the process has said, none of those before it, and where they are."""
        record = self._record()
        said_from = record.get("log_from", 0) if record else 0
        with self.log_file.open("rb") as log:
            log.seek(max(said_from, self.log_file.stat().st_size - length))
            tail = log.read().decode(errors="replace")
        return f"The end of {self.log_file}:\n{tail}"


def started_at(pid: int) -> int | None:
    """Start time of a live process in clock ticks since boot; None if it has ended.

    psutil says it by the wall clock, so setting that would make another process of each.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, started = fields[0], fields[19]
    if state == "Z":
        _reap(pid)
        return None
    return int(started)


def _reap(pid: int) -> None:
    """Collects the exit code of a child that has ended; not ours to collect if we are no parent."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def free_addresses(count: int) -> list[Address]:
    """Loopback ports that nothing uses at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [Address("127.0.0.1", probe.getsockname()[1]) for probe in sockets]
