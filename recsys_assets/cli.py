"""The command line `recsys`: the demo, the embedded services, and single requests."""

import os
from datetime import UTC, datetime

import click

from recsys_assets.settings import InvalidSetting, Settings, load_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """A product recommender as a Dagster asset graph."""
    try:
        context.obj = load_settings()
    except InvalidSetting as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.pass_obj
def demo(settings: Settings) -> None:
    """Build everything from raw data, serve it, and answer requests."""
    from recsys_assets.demo import run_demo

    if not run_demo(settings):
        raise click.ClickException("the pipeline failed; the lines above say where")


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port of the web UI on 127.0.0.1.")
@click.pass_obj
def ui(settings: Settings, port: int) -> None:
    """Run the Dagster UI and daemon over the local instance."""
    from recsys_assets.instance import instance_home
    from recsys_assets.settings import REPOSITORY

    os.environ["DAGSTER_HOME"] = str(instance_home(settings))
    workspace = str(REPOSITORY / "workspace.yaml")
    command = ["dagster", "dev", "-w", workspace, "-h", "127.0.0.1", "-p", str(port)]
    os.execvp(command[0], command)  # noqa: S606


@main.command()
@click.pass_obj
def up(settings: Settings) -> None:
    """Start the embedded Valkey and Triton; what runs already is left alone."""
    from recsys_assets.serving import services

    try:
        services.up(settings)
    except services.ServiceError as error:
        raise click.ClickException(str(error)) from None
    _print_status(settings)


@main.command()
@click.pass_obj
def down(settings: Settings) -> None:
    """Stop the embedded Valkey and Triton."""
    from recsys_assets.serving import services

    services.down(settings)
    _print_status(settings)


@main.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show the release, the services and their health, which is a real inference."""
    _print_status(settings)


def _print_status(settings: Settings) -> None:
    from recsys_assets.serving import services

    for service in services.status(settings):
        pid = f"pid {service.pid}" if service.pid else ""
        click.echo(
            f"{service.name:<8}{service.address:<24}{service.state:<12}{pid:<12}{service.detail}"
        )


@main.command()
@click.option("--user", default="", help="User id; leave it out for an anonymous visitor.")
@click.option("--device", default="in_store", show_default=True, help="Device of the request.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
    help="Moment of the request in UTC.  [default: noon of the day that counts as today]",
)
@click.option("--k", default=10, show_default=True, help="Length of the slate.")
@click.pass_obj
def recommend(settings: Settings, user: str, device: str, at: datetime | None, k: int) -> None:
    """Ask the running Triton for a slate and print it with product texts."""
    from tritonclient.utils import InferenceServerException

    from recsys_assets.serving import client
    from recsys_assets.slates import default_moment, item_texts, print_slate

    moment = at.replace(tzinfo=UTC) if at else default_moment(settings)
    try:
        answer = client.recommend(settings, user, int(moment.timestamp()), device, k)
    except InferenceServerException as error:
        raise click.ClickException(
            f"Triton at {settings.triton_grpc}: {error.message()} (`recsys status` says more)"
        ) from None
    print_slate(user or "anonymous", answer, item_texts(settings))
