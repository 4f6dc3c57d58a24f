"""A process that tells, for each line, the time, how long it slept, and how long C's wait took.

Java, gRPC and Python's own lock wait by `pthread_cond_timedwait` on a monotonic clock.
"""

import ctypes
import sys
import time

ASKED_SECONDS = 0.05


def slept() -> float:
    began = time.monotonic()
    time.sleep(ASKED_SECONDS)
    return time.monotonic() - began


def waited() -> float:
    library = ctypes.CDLL(None)
    attributes, condition, mutex = ((ctypes.c_byte * 64)() for _ in range(3))
    library.pthread_condattr_init(attributes)
    library.pthread_condattr_setclock(attributes, time.CLOCK_MONOTONIC)
    library.pthread_cond_init(condition, attributes)
    library.pthread_mutex_init(mutex, None)
    library.pthread_mutex_lock(mutex)
    began = time.monotonic()
    seconds, part = divmod(began + ASKED_SECONDS, 1)
    until = (ctypes.c_long * 2)(int(seconds), int(part * 1e9))
    library.pthread_cond_timedwait(condition, mutex, until)
    return time.monotonic() - began


if __name__ == "__main__":
    for _ in sys.stdin:
        print(time.time(), slept(), waited(), flush=True)  # noqa: T201
