"""How a command shows its work from its first line on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from recsys_assets.settings import Settings
from recsys_assets.terminal.output import raw_output_in, warnings_as_lines
from recsys_assets.terminal.screen import Screen


def raw_output(settings: Settings, command: str) -> Path:
    """Where what libraries print while a command runs is found after it."""
    return settings.home / "log" / f"{command}.log"


@contextmanager
def shown(settings: Settings, command: str, purpose: str) -> Iterator[Screen]:
    """Says at once what a command will do; then its lines are all that is to be seen.

    Args:
        settings: of the deployment.
        command: name of the command.
        purpose: what it does, after its name.
    """
    click.echo(
        f"recsys {command}: {purpose}. Source {settings.source}, today {settings.today}, "
        f"home {settings.home}"
    )
    with (
        raw_output_in(raw_output(settings, command)) as stream,
        Screen(stream) as screen,
        warnings_as_lines(screen.say),
    ):
        yield screen
