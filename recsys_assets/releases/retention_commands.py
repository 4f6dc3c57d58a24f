"""The command `recsys clean`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from recsys_assets.settings import Settings

if TYPE_CHECKING:
    from recsys_assets.releases.retention import Item, Removal

_HEADER = ("", "what", "name", "MB", "why")


class _TableDays(click.ParamType):
    """`<table or artifact>=<days>`."""

    name = "name=days"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        table, _, days = value.partition("=")
        if not table or not days.isdecimal() or not int(days):
            self.fail(f"{value!r}: write a table and days, such as request_log=90", param, ctx)
        return table, int(days)


@click.command()
@click.option(
    "--keep",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Promoted releases to keep: the live one, and those that rollbacks go back to.",
)
@click.option(
    "--older-than-days",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="Keep what is younger, or was in use so lately.",
)
@click.option(
    "--partitions",
    type=_TableDays(),
    multiple=True,
    help="Also remove days of a table, or of an artifact, such as request_log=90; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go, what would stay, and why.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def clean(
    settings: Settings,
    keep: int,
    older_than_days: int,
    partitions: tuple[tuple[str, int], ...],
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete old releases, artifact versions that no kept release names, and leftovers."""
    from recsys_assets.releases.release import MissingRelease
    from recsys_assets.releases.retention import RetentionPolicy, carry_out, plan
    from recsys_assets.runtime.processes import ServiceError
    from recsys_assets.storage import Store

    store = Store(settings.storage_url)
    try:
        policy = RetentionPolicy(keep, older_than_days, dict(partitions))
        planned = plan(store, policy, datetime.now(UTC))
        for line in as_lines(planned):
            click.echo(line)
        if dry_run or not planned.removed:
            return
        if not yes:
            click.confirm(f"Delete {_counted(planned)} from {store.url}?", abort=True)
        carry_out(store, planned)
    except (ServiceError, MissingRelease, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"deleted {_counted(planned)}")


def as_lines(planned: "Removal") -> list[str]:
    """A table of what goes and of the releases and versions that stay, and the sum.

    Partitions, messages and uploads that stay are many, and of no interest.
    """
    kept = [item for item in planned.kept if item.kind in ("release", "artifact")]
    rows: list[tuple[str, ...]] = [_HEADER]
    rows += [_row("delete", item) for item in planned.removed]
    rows += [_row("keep", item) for item in kept]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [*lines, f"to delete: {_counted(planned)}"]


def _row(what: str, item: "Item") -> tuple[str, ...]:
    return what, item.kind, item.name, f"{item.size / 1e6:.1f}", item.why


def _counted(planned: "Removal") -> str:
    things = "1 thing" if len(planned.removed) == 1 else f"{len(planned.removed)} things"
    return f"{things}, {planned.size / 1e6:.1f} MB"


COMMANDS = (clean,)
