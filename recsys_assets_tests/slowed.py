"""Holds a command, and all that it starts, to a share of the processor.

    python -m recsys_assets_tests.slowed --share 0.1 -- recsys up

In each period the processes go on for that share of it and stand still for the rest (SIGCONT and
SIGSTOP). They are known by a variable in their environment, which daemons inherit as well, so they
are held until the command ends. A long `--period` makes what a busy host does to its guests: all
stands still for seconds now and then. Debian's `cpulimit --include-children` holds one tree of
processes likewise, but not the daemons that leave it.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

VARIABLE = "RECSYS_TESTS_SLOWED"
_LOOK_SECONDS = 0.5  # a new process is found, and held, after this


@contextmanager
def slowed(share: float, period: float = 0.1) -> Iterator[dict[str, str]]:
    """Holds all processes that are started with the environment that it yields.

    Args:
        share: of the time for which they go on, above 0 and at most 1.
        period: seconds of going on and standing still.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: give a number above 0 and at most 1")
    over, mark = threading.Event(), uuid.uuid4().hex
    holding = threading.Thread(target=_hold, args=(mark, share, period, over), daemon=True)
    holding.start()
    try:
        yield {VARIABLE: mark}
    finally:
        over.set()
        holding.join()


def _hold(mark: str, share: float, period: float, over: threading.Event) -> None:
    held, looked_at = set[int](), 0.0
    try:
        while not over.wait(share * period):
            if time.monotonic() - looked_at > _LOOK_SECONDS:
                held, looked_at = set(_started_with(mark)), time.monotonic()
            _send(held, signal.SIGSTOP)
            over.wait((1 - share) * period)
            _send(held, signal.SIGCONT)
    finally:
        _send(set(_started_with(mark)), signal.SIGCONT)


def _started_with(mark: str) -> Iterator[int]:
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get(VARIABLE) == mark:
            yield process.pid


def _send(pids: set[int], what: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


def main() -> int:
    """Runs the command of the command line; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, required=True, help="of the time, such as 0.1")
    parser.add_argument("--period", type=float, default=0.1, help="seconds; 0.1")
    parser.add_argument("command", nargs="+", help="after --")
    arguments = parser.parse_args()
    with slowed(arguments.share, arguments.period) as environment:
        return subprocess.run(arguments.command, env=os.environ | environment).returncode


if __name__ == "__main__":
    sys.exit(main())
