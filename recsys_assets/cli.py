"""The command line `recsys`: the demo, the embedded services, releases, and single requests."""

import getpass
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from recsys_assets.exporter import commands as exporter
from recsys_assets.releases import retention_commands as retention
from recsys_assets.rollout import agent_command as serving
from recsys_assets.settings import InvalidSetting, Settings, load_settings
from recsys_assets.storefront import commands as storefront
from recsys_assets.terminal.command import raw_output, shown

if TYPE_CHECKING:
    from recsys_assets.releases.release import Promoted


# Commands for one machine, and what does their work in a cluster.
INSTEAD = {
    "demo": "start the job initial_pipeline in Dagster's UI",
    "ui": "run `kubectl -n recsys port-forward service/dagster-dagster-webserver 3000`",
    "up": "kubectl apply starts Valkey and Triton, see k8s/",
    "down": "kubectl delete stops them, see k8s/",
    "watch": "the agent beside each Triton server watches it",
}


class _Commands(click.Group):
    """Says what a store does not answer in one line, whatever the command."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except OSError as error:
            from recsys_assets.storage.s3 import StorageUnavailable

            if isinstance(error, StorageUnavailable):
                raise click.ClickException(str(error)) from None
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """A product recommender as a Dagster asset graph."""
    try:
        context.obj = load_settings()
        require_possible(context.obj, context.invoked_subcommand)
    except InvalidSetting as error:
        raise click.ClickException(str(error)) from None


def require_possible(settings: Settings, command: str | None) -> None:
    """Refuses a command that would start its own services beside those of a cluster.

    Raises:
        InvalidSetting: names the command and what to do instead.
    """
    if settings.deployment != "local" and command in INSTEAD:
        raise InvalidSetting(
            "RECSYS_DEPLOYMENT",
            settings.deployment,
            f"`recsys {command}` is for one machine; {INSTEAD[command]}",
        )


for folder in (serving, retention, exporter, storefront):
    for command in folder.COMMANDS:
        main.add_command(command)


@main.command()
@click.pass_obj
def demo(settings: Settings) -> None:
    """Build everything from raw data, serve it, and answer requests."""
    purpose = "build everything from raw data, serve it, ask it for slates"
    with shown(settings, "recsys demo", purpose) as screen:
        screen.doing("loading Dagster and the asset graph")
        from recsys_assets.defs.runs.narrated_run import RunFailed
        from recsys_assets.demo import run_demo
        from recsys_assets.services import deployment

        try:
            run_demo(settings, screen)
        except InvalidSetting as error:
            raise click.ClickException(str(error)) from None
        except (RunFailed, deployment.ServiceError) as error:
            raise click.ClickException(
                f"{error}\n`recsys demo` goes on from there once that is mended; what libraries "
                f"printed is in {raw_output(settings, 'recsys demo')}"
            ) from None


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port of the web UI on 127.0.0.1.")
@click.pass_obj
def ui(settings: Settings, port: int) -> None:
    """Run the Dagster UI and daemon over the local instance."""
    if find_spec("dagster_webserver") is None:
        raise click.ClickException(
            "dagster_webserver is not installed, the demo does without it: start with `make ui`"
        )
    click.echo(f"recsys ui: http://127.0.0.1:{port} within a minute. Home {settings.home}")
    from recsys_assets.defs.runs.instance import dagster_environment
    from recsys_assets.settings import REPOSITORY

    os.environ.update(dagster_environment(settings))
    workspace = str(REPOSITORY / "workspace.yaml")
    # By this interpreter: its scripts need not be on the PATH.
    dagster = [sys.executable, "-m", "dagster", "dev"]
    os.execv(dagster[0], [*dagster, "-w", workspace, "-h", "127.0.0.1", "-p", str(port)])  # noqa: S606


@main.command()
@click.pass_obj
def up(settings: Settings) -> None:
    """Start the embedded Valkey and Triton; what runs already is left alone."""
    click.echo(f"recsys up: start Valkey and Triton. Home {settings.home}")
    from recsys_assets.services import deployment

    try:
        deployment.up(settings)
    except deployment.ServiceError as error:
        raise click.ClickException(str(error)) from None
    _print_status(settings)


@main.command()
@click.pass_obj
def down(settings: Settings) -> None:
    """Stop the embedded Valkey and Triton."""
    from recsys_assets.services import deployment

    try:
        deployment.down(settings)
    except deployment.ServiceError as error:
        raise click.ClickException(str(error)) from None
    _print_status(settings)


@main.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show the release, the services and their health, which is a real inference."""
    _print_status(settings)


@main.command()
@click.option("--every", default=0.5, show_default=True, help="Seconds between two looks.")
@click.option("--metrics-port", type=int, help="Answer Prometheus on 127.0.0.1 and this port.")
@click.pass_obj
def watch(settings: Settings, every: float, metrics_port: int | None) -> None:
    """Keep Valkey, Triton and the promoted release answering, until interrupted."""
    from recsys_assets.rollout.watch_metrics import WatchMetrics
    from recsys_assets.runtime.stopping import told_to_stop
    from recsys_assets.services import watchdog
    from recsys_assets.services.online_store_metrics import OnlineStoreMetrics

    stop = told_to_stop()
    metrics = WatchMetrics()
    OnlineStoreMetrics(settings.online_store_url, metrics.registry)
    if metrics_port is not None:
        metrics.serve(metrics_port)
    for line in watchdog.watch(settings, every, stop.wait, metrics):
        click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}")


@main.command()
@click.pass_obj
def releases(settings: Settings) -> None:
    """Show every release, what became of it and why; * marks the live one."""
    from recsys_assets.services import deployment, release_commands

    for line in release_commands.as_lines(
        release_commands.summarize(deployment.releases(settings))
    ):
        click.echo(line)


@main.command()
@click.argument("release", type=int)
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--by", default=getpass.getuser, help="Who; it is recorded.  [default: you]")
@click.option("--force", is_flag=True, help="Even if it was rejected, or never checked.")
@click.pass_obj
def promote(settings: Settings, release: int, reason: str, by: str, force: bool) -> None:
    """Make RELEASE the live one; it is watched for some seconds, and taken back if it fails."""
    from recsys_assets.releases.release import Reason
    from recsys_assets.services.release_commands import promote_by_hand

    why = Reason(reason, by)
    _change_live_release(settings, lambda: promote_by_hand(settings, release, why, force))


@main.command()
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--by", default=getpass.getuser, help="Who; it is recorded.  [default: you]")
@click.pass_obj
def rollback(settings: Settings, reason: str, by: str) -> None:
    """Go back to the release that was live before; the one left is not promoted again."""
    from recsys_assets.releases.release import Reason
    from recsys_assets.services.release_commands import rollback_by_hand

    _change_live_release(settings, lambda: rollback_by_hand(settings, Reason(reason, by)))


def _change_live_release(settings: Settings, change: "Callable[[], Promoted]") -> None:
    """Makes a change and shows it; whatever came of it is reported to Dagster."""
    from recsys_assets.defs.runs.instance import open_instance
    from recsys_assets.defs.runs.lineage_events import report_changes
    from recsys_assets.releases.release import MissingRelease
    from recsys_assets.services import deployment

    try:
        with open_instance(settings) as instance:
            try:
                changed = change()
            finally:
                report_changes(instance, deployment.releases(settings))
    except (InvalidSetting, deployment.ServiceError, MissingRelease) as error:
        raise click.ClickException(str(error)) from None
    previous = "none" if changed.previous is None else changed.previous
    click.echo(f"release {changed.release} is live; a rollback goes back to {previous}")


def _print_status(settings: Settings) -> None:
    from recsys_assets.services import deployment

    for service in deployment.status(settings):
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

    from recsys_assets.demo_summary import default_moment, item_texts, print_slate
    from recsys_assets.triton import client

    moment = at.replace(tzinfo=UTC) if at else default_moment(settings)
    try:
        answer = client.recommend(settings, user, int(moment.timestamp()), device, k)
    except InferenceServerException as error:
        raise click.ClickException(
            f"Triton at {settings.triton_grpc}: {error.message()} (`recsys status` says more)"
        ) from None
    print_slate(user or "anonymous", answer, item_texts(settings))
