"""The end of a command that is interrupted: all that it has started ends with it.

A thread does it, told by the signal itself (see `runtime/stopping.py`): the main thread may be in
a library that returns in a minute. Nothing half-made is visible, so the process just ends after.
"""

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import psutil

from recsys_assets.runtime.stopping import SIGNALS, told_to_stop
from recsys_assets.terminal.screen import Screen

EXIT_CODE = 130  # as shells report SIGINT
_UNWIND_SECONDS = 5.0
_END_SECONDS = 10.0
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


@contextmanager
def stopping_what_was_started(
    screen: Screen, stop_services: Callable[[set[int]], Sequence[str]], afterwards: Sequence[str]
) -> Iterator[None]:
    """On SIGINT or SIGTERM ends every process that this one has started, then this one.

    Call it in the main thread, once.

    Args:
        screen: told what was stopped.
        stop_services: stops services in good order if their pid is among those given, which this
            process has started; returns their names.
        afterwards: last lines, which say how to go on.
    """
    # Children of a child that ends come here, so that none escapes.
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    told = told_to_stop()
    unwound = threading.Event()

    def end() -> None:
        told.wait()
        screen.for_only(thread)
        screen.close()
        screen.say("interrupted: stopping what this command has started")
        children = _descendants()
        stopped = [*stop_services({child.pid for child in children}), *_names(children)]
        _end(children)
        unwound.wait(_UNWIND_SECONDS)
        _end(_descendants())  # what the main thread was about to start
        screen.say(f"stopped: {', '.join(stopped) or 'nothing else was running'}")
        for line in afterwards:
            screen.show(line)
        os._exit(EXIT_CODE)

    def unwind(_number: int, _frame: FrameType | None) -> None:
        screen.for_only(thread)
        raise KeyboardInterrupt

    thread = threading.Thread(target=end, name="interrupt", daemon=True)
    thread.start()
    for number in SIGNALS:
        signal.signal(number, unwind)
    try:
        yield
    finally:
        # The signal reaches this thread as an exception, perhaps before it has reached the other.
        if told.wait(0.1):
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            unwound.set()
            thread.join()


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _names(processes: Sequence[psutil.Process]) -> list[str]:
    """What a person calls those that do a step's work."""
    names = set()
    for process in processes:
        try:
            words = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        if "org.apache.spark.deploy.SparkSubmit" in words:
            names.add("Spark")
        names |= {f"training ({word})" for word in words if word.startswith("recsys_assets.")}
    return sorted(names)


def _end(processes: Sequence[psutil.Process]) -> None:
    """Asks processes to end, and kills those that do not."""
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=_END_SECONDS)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_END_SECONDS)
