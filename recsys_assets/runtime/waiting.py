"""Waiting for a state of something else: a server, a process, a run.

A limit here guards against waiting for ever and is no guess about speed, so one setting,
RECSYS_WAIT_SECONDS, is behind all of them, and the error names it. What has ended for good is for
the look to notice, by raising: so a generous limit costs nothing where something is broken.
Budgets of requests (circuit, deadlines, shedding) are promises of the product, and not set here.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from recsys_assets.settings import WAIT_VARIABLE

T = TypeVar("T")

_TOLD_EVERY_SECONDS = 10.0
_REMEDY = f"raise {WAIT_VARIABLE} if this machine is just slow"

_LOG = logging.getLogger(__name__)


class WaitedTooLong(RuntimeError):
    """A state was not reached in time; names the setting that allows more."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"waited {seconds:.0f} s for {what}: {_REMEDY}")


def wait_for(look: Callable[[], T | None], what: str, seconds: float, every: float = 0.05) -> T:
    """Looks again and again until there is something; tells every ten seconds that it waits.

    Args:
        look: returns what is waited for; None or False until it is there. What it raises ends
            the waiting.
        what: is waited for, such as "Valkey to answer".
        seconds: the limit. Time in which this process was stopped counts too, so there is a last
            look after it.
        every: seconds between two looks.

    Raises:
        WaitedTooLong: it was not there in time.
    """
    deadline = time.monotonic() + seconds
    with telling(what):
        while True:
            last = time.monotonic() >= deadline
            found = look()
            if found:
                return found
            if last:
                raise WaitedTooLong(what, seconds)
            time.sleep(every)


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Logs every ten seconds what is waited for, as long as the context takes."""
    began, over = time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(_TOLD_EVERY_SECONDS):
            _LOG.warning("waiting for %s: %.0f s", what, time.monotonic() - began)

    teller = threading.Thread(target=tell, name="telling", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
