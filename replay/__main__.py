"""The command: `python -m replay`, after `recsys demo`."""

from importlib.util import find_spec

import click

from recsys_assets.runtime.processes import ServiceError
from recsys_assets.settings import InvalidSetting, load_settings
from recsys_assets.terminal.command import shown


@click.command()
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=91,
    show_default=True,
    help="Days to replay, from today on.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=50.0,
    show_default=True,
    help="Requests a second, all the time.",
)
def main(days: int, rate: float) -> None:
    """Replay recorded days as live traffic, while the daemon keeps the recommender up to date."""
    if find_spec("evidently") is None:
        raise click.ClickException(
            "evidently is not installed, the demo does without it: start with `make replay`"
        )
    try:
        settings = load_settings()
    except InvalidSetting as error:
        raise click.ClickException(str(error)) from None
    if settings.deployment != "local":
        raise click.ClickException(
            f"RECSYS_DEPLOYMENT={settings.deployment}: a replay needs the recorded year and a "
            "machine of its own; leave it out for one machine"
        )
    purpose = f"send {days} recorded days as live traffic, {rate:g} requests a second"
    with shown(settings, "python -m replay", purpose) as screen:
        screen.doing("loading Dagster and the asset graph")
        from replay.daemon import ReplayStuck
        from replay.load import BrokenLoad
        from replay.prepare import NotPrepared
        from replay.run import run_replay

        try:
            run_replay(settings, days, rate, screen)
        except (NotPrepared, ReplayStuck, BrokenLoad, ServiceError) as error:
            raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main(prog_name="python -m replay")
