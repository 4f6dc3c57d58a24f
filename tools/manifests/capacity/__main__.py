"""Prints the capacity page and writes it, with its plot, into the documentation.

`--peak 5` and the like put other assumptions in the place of those in `inputs.py`.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from recsys_assets.settings import REPOSITORY
from tools.manifests.capacity.arithmetic import Capacity
from tools.manifests.capacity.inputs import Assumed
from tools.manifests.capacity.page import page, plot

PAGE = REPOSITORY / "docs" / "results" / "capacity.md"


def _options(command: Any) -> Any:
    """An option for each assumption."""
    for known in reversed(fields(Assumed)):
        name = f"--{known.name.replace('_', '-')}"
        said = f"{known.metadata['unit']}; {known.metadata['source']}"
        option = click.option(
            name, type=type(known.default), default=known.default, show_default=True, help=said
        )
        command = option(command)
    return command


@click.command()
@click.option("--write/--no-write", default=True, help="Write the page and its plot.")
@_options
def main(write: bool, **assumed: Any) -> None:
    """Print what 1 M to 100 M users and 1 M to 1 B items take, and write the page."""
    capacity = Capacity(assumed=Assumed(**assumed))
    text = page(capacity)
    click.echo(text)
    if write:
        _write(text, PAGE)
        plot(capacity, PAGE.with_suffix(".png"))


def _write(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
