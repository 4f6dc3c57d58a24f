"""Progress lines of the benchmarks, on standard error."""

import sys
import time

_STARTED = time.monotonic()


def say(line: str) -> None:
    """`[  75 s] ours: ...`, with seconds since the program began."""
    sys.stderr.write(f"[{time.monotonic() - _STARTED:5.0f} s] {line}\n")
    sys.stderr.flush()
