"""The end of a process that works until it is told to stop."""

import os
import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def told_to_stop() -> threading.Event:
    """An event that SIGTERM or SIGINT sets; a second one ends the process as it would by default.

    An exception out of a handler is lost when it strikes inside a destructor, and process 1 of a
    container has no default handler: an event misses neither. A handler that sets it would not do.
    Python runs handlers in the main thread only, and one that waits for a lock stays asleep if the
    kernel hands the signal to another thread; awake, it may hold the lock of the event. So a
    thread sets it, told through a pipe by the signal itself.

    Call it in the main thread, once.
    """
    stop = threading.Event()
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, _leave_the_next_to_the_system)

    def wait_for_a_signal() -> None:
        while os.read(told, 1)[0] not in SIGNALS:
            pass
        stop.set()

    threading.Thread(target=wait_for_a_signal, name="told to stop", daemon=True).start()
    return stop


def _leave_the_next_to_the_system(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
