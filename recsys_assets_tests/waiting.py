"""Waiting for a state in a test: a limit against a hang, and no guess about speed."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from recsys_assets.runtime.waiting import WaitedTooLong, wait_for

T = TypeVar("T")

# Of every wait in a test. A slower machine raises it; nothing that passes takes longer for it.
_VARIABLE = "RECSYS_TEST_WAIT_SECONDS"
LIMIT = float(os.environ.get(_VARIABLE, "300"))
_REMEDY = f"raise {_VARIABLE} if this machine is just slow"


def until(
    look: Callable[[], T | None], what: str = "what this test waits for", seconds: float = LIMIT
) -> T:
    """What `look` finds in the end; what it asserts or raises fails at once."""
    try:
        return wait_for(look, what, seconds)
    except WaitedTooLong:
        raise AssertionError(f"waited {seconds:.0f} s for {what}: {_REMEDY}") from None


def ended(process: subprocess.Popen) -> int:
    """Status of a process that is about to end."""
    return process.wait(timeout=LIMIT)


def reached(event: threading.Event) -> bool:
    """Whether something that another thread is about to reach has been reached."""
    return event.wait(LIMIT)


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """A process that neither ends nor goes on meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
