"""How a command shows its work from its first line on.

What libraries and started processes print is kept out of its own lines. Raw output goes to a file.
Python's warnings and log records of warning and above are not raw: they become lines, except those
named in `quiet.py`.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from recsys_assets.settings import Settings
from recsys_assets.terminal.quiet import is_noise
from recsys_assets.terminal.screen import Screen


def raw_output(settings: Settings, command: str) -> Path:
    """Where what libraries print while a command runs is found after it."""
    return settings.home / "log" / f"{command.split()[-1]}.log"


@contextmanager
def shown(settings: Settings, command: str, purpose: str) -> Iterator[Screen]:
    """Says at once what a command will do; then its lines are all that is to be seen.

    Args:
        settings: of the deployment.
        command: as it is typed; its last word names the log of what libraries print.
        purpose: what it does, after its name.
    """
    click.echo(
        f"{command}: {purpose}. Source {settings.source}, today {settings.today}, "
        f"home {settings.home}"
    )
    with (
        raw_output_in(raw_output(settings, command)) as stream,
        Screen(stream) as screen,
        warnings_as_lines(screen.say),
    ):
        yield screen


@contextmanager
def raw_output_in(file: Path) -> Iterator[TextIO]:
    """Sends standard output and error of this process, and of those it starts, to a file.

    Args:
        file: written anew.

    Yields:
        A stream to where standard output went before.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with file.open("wb") as raw, os.fdopen(os.dup(1), "w", encoding="utf-8") as shown:
        for number in (1, 2):
            os.dup2(raw.fileno(), number)
        try:
            yield shown
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for number, before in zip((1, 2), kept, strict=True):
                os.dup2(before, number)
                os.close(before)


@contextmanager
def warnings_as_lines(say: Callable[[str], object]) -> Iterator[None]:
    """Says Python's warnings and log records of warning and above, a line each."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not is_noise(str(message), filename):
            say(f"warning: {category.__name__}: {message} ({filename}:{lineno})")

    handler, before = _Lines(say), warnings.showwarning
    logging.getLogger().addHandler(handler)
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
        logging.getLogger().removeHandler(handler)


class _Lines(logging.Handler):
    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(f"{record.levelname.lower()}: {record.name}: {record.getMessage()}")
