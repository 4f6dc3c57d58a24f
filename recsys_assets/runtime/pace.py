"""How far a long piece of work has come, told now and then. For both environments.

Work tells `Progress` after each part how many are done of how many; whoever started it decides
what comes of that.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
Progress = Callable[[int, int], object]

_SECONDS = 5.0


def silent(done: int, total: int) -> None:
    """Progress that nobody wants to see."""


def paced(
    say: Callable[[str], object], what: str, clock: Callable[[], float] = time.monotonic
) -> Progress:
    """Progress as lines such as `120 of 280 days`, one in five seconds at most.

    Work that is done sooner says nothing.

    Args:
        say: takes a line.
        what: is counted, in the plural.
        clock: seconds.
    """
    said = clock()

    def progress(done: int, total: int) -> None:
        nonlocal said
        now = clock()
        if now - said >= _SECONDS:
            said = now
            say(f"{done:,} of {total:,} {what}")

    return progress


def told(parts: Sequence[T], progress: Progress) -> Iterator[T]:
    """The parts one after another; each counts as done when the next is taken."""
    for done, part in enumerate(parts):
        progress(done, len(parts))
        yield part
