"""What Python's processes do under libfaketime 0.9.10 that it does not bear.

Its `clock_nanosleep` refuses monotonic deadlines, so Python sleeps otherwise. Under it Triton waits
for nothing and spins, or does not start, so Triton is started without it.
"""

import os
import select
import subprocess
import time
from typing import Any, SupportsIndex

_BY_THE_SYSTEMS_CLOCK = "tritonserver"


def _sleep(seconds: float | SupportsIndex, /) -> None:
    wanted = float(seconds)
    if wanted < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], wanted)


class _Popen(subprocess.Popen[Any]):
    def __init__(self, args: Any, *others: Any, **options: Any) -> None:
        program = args if isinstance(args, str | os.PathLike) else args[0]
        if os.path.basename(program) == _BY_THE_SYSTEMS_CLOCK:  # noqa: PTH119 (imports less)
            env = options.get("env") or os.environ
            options["env"] = {name: env[name] for name in env if name != "LD_PRELOAD"}
        super().__init__(args, *others, **options)


time.sleep = _sleep
subprocess.Popen = _Popen  # type: ignore[misc]
