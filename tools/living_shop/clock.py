"""The time of all processes of a living shop, moved while they run.

Debian's libfaketime adds an offset to what the system's clock says, which it reads from a file
about once a second. Monotonic clocks stay as they are, and with them all waiting; so do times of
files, by which Python knows compiled modules.

Triton is left on the system's clock (see `faked/`). What it answers depends on the time of the
request alone.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recsys_assets.storage.filesystem import write_atomically

LIBRARY = Path(
    ".venvs/tools/libfaketime/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
).absolute()
_BORNE = Path(__file__).parent / "faked"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (where the library puts it)
_SHARED = "FAKETIME_SHARED"
_RUNS_ON = timedelta(hours=1)
_NOTICED_SECONDS = 3.0  # whole seconds are compared, so one becomes nearly two


class Clock:
    """The clock of one shop, in two files of `folder`: its offset, and the time it last told.

    While a shop is stopped its clock runs on, for an hour at most: no day is lost.
    """

    def __init__(self, folder: Path) -> None:
        self._offset, self._told = folder / "offset", folder / "told"

    def begin(self, moment: datetime) -> None:
        """Sets the time of a shop that begins; that of one that goes on has run on for an hour."""
        if self._told.exists():
            told = datetime.fromisoformat(self._told.read_text())
            moment = min(self._running, told + _RUNS_ON)
        self._set(moment)

    @property
    def now(self) -> datetime:
        """What the shop's processes take for the time, UTC; it is noted as told."""
        now = self._running
        write_atomically(self._told.as_uri(), now.isoformat().encode())
        return now

    def advance_to(self, moment: datetime) -> None:
        """Moves the time ahead to a moment, unless that is over; every process has noticed then."""
        if moment > self.now:
            self._set(moment)

    @contextmanager
    def environment(self, environ: Mapping[str, str] = os.environ) -> Iterator[dict[str, str]]:
        """Variables for processes that live by this clock, as their children then do.

        The library's shared memory, which a process would make and leave behind, goes at the end.
        """
        path = [str(_BORNE), *filter(None, [environ.get("PYTHONPATH")])]
        variables = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else monotonic waits end at once, and spin
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": os.pathsep.join(path),
        }
        shared = _make_shared(variables)
        try:
            yield {**variables, _SHARED: " ".join(shared)}
        finally:
            semaphore, memory = (name.removeprefix("/") for name in shared)
            (SHARED_MEMORY / f"sem.{semaphore}").unlink(missing_ok=True)
            (SHARED_MEMORY / memory).unlink(missing_ok=True)

    @property
    def _running(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(self._offset.read_text()))

    def _set(self, moment: datetime) -> None:
        offset = (moment - datetime.now(UTC)).total_seconds()
        write_atomically(self._offset.as_uri(), f"{offset:+.3f}".encode())
        write_atomically(self._told.as_uri(), moment.isoformat().encode())
        time.sleep(_NOTICED_SECONDS)


def _make_shared(variables: Mapping[str, str]) -> list[str]:
    """Names of a semaphore and of shared memory, as the library makes them."""
    told = subprocess.run(["env"], env=dict(variables), capture_output=True, text=True, check=True)
    (shared,) = (line for line in told.stdout.splitlines() if line.startswith(f"{_SHARED}="))
    return shared.removeprefix(f"{_SHARED}=").split()
