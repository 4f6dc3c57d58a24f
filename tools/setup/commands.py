"""Runs commands with patience: long time-outs, a log, and a sign of life."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tools.setup.failure import explain, of_the_network

ATTEMPTS = 3
# A link that pauses is not a link that is down. Few downloads at once, or each starves the other.
_PATIENCE = {
    "UV_HTTP_TIMEOUT": "180",
    "UV_HTTP_CONNECT_TIMEOUT": "120",
    "UV_HTTP_RETRIES": "10",
    "UV_CONCURRENT_DOWNLOADS": "8",
    "PIP_DEFAULT_TIMEOUT": "180",
    "PIP_RETRIES": "10",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
# What pip is told holds for uv too, unless uv is told otherwise.
_OF_PIP = {
    "UV_DEFAULT_INDEX": ("UV_INDEX_URL", "PIP_INDEX_URL"),
    "UV_INDEX": ("UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
    "SSL_CERT_FILE": ("PIP_CERT",),
}
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_HEARTBEAT_SECONDS = 10


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of every command: the user's own, with patience where they say nothing."""
    result = {**_PATIENCE, **environ}
    for name, others in _OF_PIP.items():
        values = [environ[other] for other in others if environ.get(other)]
        if not environ.get(name) and values:
            result[name] = values[0]
    for name in _PROXIES:  # apt reads them in small letters only
        value = environ.get(name) or environ.get(name.upper())
        if value:
            result[name] = value
    return result


def say(line: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Commands:
    """Runs commands, each with its output in one log."""

    def __init__(
        self, log: Path, environ: Mapping[str, str], keep_open: Sequence[int] = ()
    ) -> None:
        """Begins a new log.

        Args:
            log: file of the output.
            environ: the user's variables.
            keep_open: file descriptors that a command holds until it ends, also when this
                process is killed before.
        """
        self.log = log
        self._environ = environment(environ)
        self._keep_open = tuple(keep_open)
        log.write_bytes(b"")

    def run(self, what: str, *command: str | Path, folder: Path | None = None) -> str:
        """Runs a command, again where the network failed it; what it printed.

        Raises:
            Failure: it failed for another reason, or too often.
        """
        for attempt in range(1, ATTEMPTS + 1):
            status, output = self._once(command, folder)
            if status == 0:
                return output
            if attempt == ATTEMPTS or not of_the_network(output):
                break
            say(f"   the network failed; once more, with what is there ({attempt + 1}/{ATTEMPTS})")
            time.sleep(2**attempt)
        raise explain(what, output, self.log)

    def _once(self, command: Sequence[str | Path], folder: Path | None) -> tuple[int, str]:
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(map(str, command))}\n".encode())
            log.flush()
            start = log.tell()
            with subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environ,
                cwd=folder,
                pass_fds=self._keep_open,
            ) as process:
                try:
                    self._watch(process, start)
                except BaseException:
                    process.terminate()
                    raise
        return process.returncode, self._since(start)

    def _watch(self, process: subprocess.Popen[bytes], start: int) -> None:
        begun = time.monotonic()
        while True:
            try:
                process.wait(_HEARTBEAT_SECONDS)
                return
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - begun
                megabytes = sum(_written(pid) for pid in _family(process.pid)) / 1e6
                last = next(reversed(self._since(start).splitlines()), "").strip()
                say(f"   {seconds:4.0f} s, {megabytes:,.0f} MB unpacked; {last[:80]}".rstrip("; "))

    def _since(self, start: int) -> str:
        with self.log.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")


def _family(pid: int) -> Iterator[int]:
    """A process and those that it started."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:  # it has ended
        return
    for child in children:
        yield from _family(int(child))


def _written(pid: int) -> int:
    """Bytes that a process has written to files until now."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    except OSError:  # it has ended, or is another user's
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("wchar:")), 0)


def is_root() -> bool:
    """Whether Debian packages can be installed from here."""
    return os.geteuid() == 0
