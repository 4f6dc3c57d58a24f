"""Python's sleep under libfaketime 0.9.10, whose `clock_nanosleep` refuses monotonic deadlines."""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    wanted = float(seconds)
    if wanted < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], wanted)


time.sleep = _sleep
