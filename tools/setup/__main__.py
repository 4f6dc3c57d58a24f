"""Installs what a target needs: `scripts/setup [part …]`."""

import argparse
import fcntl
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.setup import debian, environments
from tools.setup.commands import Commands, say
from tools.setup.environments import VENVS
from tools.setup.failure import Failure, of_the_system
from tools.setup.parts import PARTS, needed, recorded

LOG = VENVS / "setup.log"
_PARTS_FILE = VENVS / "parts"
_EPILOG = """\
What is there is kept: a set-up that was stopped, by whatever, goes on when it is started again.
Downloads wait up to 180 s for a paused connection and are tried again; these variables win:
  UV_HTTP_TIMEOUT, UV_HTTP_RETRIES, UV_CONCURRENT_DOWNLOADS, PIP_DEFAULT_TIMEOUT, PIP_RETRIES
A proxy and a mirror are taken from the environment, and what pip is told holds for uv:
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY                         all downloads, apt too
  PIP_INDEX_URL or UV_DEFAULT_INDEX, PIP_CERT or SSL_CERT_FILE   packages of Python
UV_CACHE_DIR is where packages are kept for the next clone. Programs' output: .venvs/setup.log.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Installs the parts that were asked for; those of before stay.

    Returns:
        0, or 1 where it failed: the reason is the last line.
    """
    parser = argparse.ArgumentParser(
        prog="scripts/setup",
        description="Installs what the demo needs, and the parts named.\n\n"
        + "\n".join(f"  {name:15}{part.purpose}" for name, part in PARTS.items()),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="part", help="demo, or see above")
    asked = parser.parse_args(arguments).parts
    signal.signal(signal.SIGTERM, _stop)
    try:
        _set_up(asked)
    except Failure as failure:
        return _failed(str(failure))
    except OSError as error:
        return _failed(str(of_the_system(error)))
    except KeyboardInterrupt:
        return _failed("stopped: run the same command again, it goes on from here")
    return 0


def _set_up(asked: Sequence[str]) -> None:
    started = time.monotonic()
    names = needed(asked)
    _require_platform()
    VENVS.mkdir(exist_ok=True)
    lock = _exclude_others()
    try:
        names = needed([*names, *recorded(_PARTS_FILE)])
        commands = Commands(LOG, os.environ, keep_open=[lock])
        before = _state()
        _install(commands, names)
        _PARTS_FILE.write_text("\n".join(names) + "\n", encoding="utf-8")
        Path("var/dagster").mkdir(parents=True, exist_ok=True)
        if _state() != before:
            say(f"== {', '.join(names)}: all is there, after {time.monotonic() - started:.0f} s")
    finally:
        os.close(lock)


def _install(commands: Commands, names: Sequence[str]) -> None:
    python = os.environ.get("PYTHON") or "python3.11"
    parts = [PARTS[name] for name in names]
    environments.install_uv(commands, python)
    locks = [lock for part in parts for lock in part.locks]
    environments.install(commands, python, "orchestration", ["orchestration", *locks])
    environments.install(commands, python, "models", ["models"])
    data = dict.fromkeys(lock for part in parts for lock in part.data)
    environments.install_data(commands, ["packaged-data", *data])
    debian.install_java(commands)
    for package in dict.fromkeys(tool for part in parts for tool in part.tools):
        folder = VENVS / "tools" / package.removeprefix("prometheus-")
        debian.unpack(commands, package, folder, VENVS / "orchestration/bin")
        if package == "prometheus-alertmanager":
            debian.install_templates(folder)
    if any(part.linters for part in parts):
        environments.install(commands, python, "k8s-tools", ["k8s-tools"], project=False)


def _state() -> list[tuple[str, int]]:
    """Changes with everything that is installed."""
    return [(str(mark), mark.stat().st_mtime_ns) for mark in sorted(VENVS.glob("*/.whole"))]


def _require_platform() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Failure(
            f"the packages are for Linux on x86_64, and this is {platform.system()} on "
            f"{platform.machine()}",
            "use such a machine, or a container or virtual machine of that kind",
        )
    if sys.version_info[:2] != (3, 11):
        raise Failure(
            f"this is Python {platform.python_version()}", "set PYTHON to the path of a Python 3.11"
        )


def _exclude_others() -> int:
    """Waits for another set-up of this clone; the descriptor of the lock."""
    lock = os.open(VENVS / "setup.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another set-up works in this clone: waiting until it has ended")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _stop(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _failed(reason: str) -> int:
    sys.stderr.write(f"setup: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
