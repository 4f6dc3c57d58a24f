"""The lines of a command, and a line every few seconds while it has nothing else to say.

On a terminal a bar stands below the lines; elsewhere there are plain lines only.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from recsys_assets.terminal.plan import Position

if TYPE_CHECKING:
    from rich.progress import Progress

_TICK_SECONDS = 1.0
_SILENT_SECONDS = 8.0


class Screen:
    """Where a command shows what it does; any thread may."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console

        self.console = Console(file=stream, highlight=False)
        self._clock = clock
        self._lock = threading.RLock()
        self._started = self._said = self._since = clock()
        self._doing = ""
        self._position: Position | None = None
        self._only: threading.Thread | None = None
        self._bar: Progress | None = None
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="screen", daemon=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar = _bar(self.console)
            self._bar.start()
        self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Takes the bar away; lines may follow."""
        self._closed.set()
        with self._lock:
            if self._bar is not None:
                self._bar.stop()

    def follow(self, position: Position | None) -> None:
        """Has every line begin with the position from now on."""
        self._position = position

    def doing(self, what: str) -> None:
        """Names what goes on from now on, for the time in which nothing is said."""
        with self._lock:
            self._doing, self._since = what, self._clock()

    def say(self, text: str) -> None:
        """Shows a line: `[ 3/24  12 %   75 s] two_tower: epoch 2`; more of it are indented."""
        position = f"{self._position} " if self._position else ""
        with self._lock:
            elapsed = self._clock() - self._started
            self.show(f"[{position}{elapsed:4.0f} s] {text.rstrip()}".replace("\n", "\n    "))

    def show(self, what: Any) -> None:
        """Shows text as it is, or a table of rich."""
        with self._lock:
            if self._only is None or self._only is threading.current_thread():
                self.console.print(what, markup=False, soft_wrap=isinstance(what, str))
                self._said = self._clock()

    def for_only(self, thread: threading.Thread) -> None:
        """Has no other thread say anything any more. A signal handler may call it: no lock."""
        self._only = thread

    def heartbeat(self) -> None:
        """Says that it goes on, if nothing was said for a while; moves the bar."""
        with self._lock:
            now = self._clock()
            seconds = now - self._since
            if self._bar is not None:
                percent = self._position.percent if self._position else None
                text = f"{self._position or ''} {self._doing}, {seconds:.0f} s"
                self._bar.update(self._bar.task_ids[0], description=text, completed=percent)
            elif self._doing and now - self._said >= _SILENT_SECONDS:
                self.say(f"still at {self._doing}, {seconds:.0f} s")

    def _tick(self) -> None:
        while not self._closed.wait(_TICK_SECONDS):
            self.heartbeat()


def _bar(console: Any) -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn

    # What libraries print is sent elsewhere already: see `command.py`.
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("")
    return bar
