"""Commands of `recsys` that run beside the served models."""

import click

from recsys_assets.settings import Settings


@click.command()
@click.option(
    "--follow",
    type=click.Choice(["promoted", "newest"]),
    default="promoted",
    show_default=True,
    help="The promoted release, or (canary pods) the newest one that has not been rejected.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to answer on.")
@click.option("--port", default=8080, show_default=True, help="Port to answer on.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "gpu"]),
    default="cpu",
    show_default=True,
    help="What the models compute on: processors, or every GPU that Triton sees.",
)
@click.option("--every", default=1.0, show_default=True, help="Seconds between two looks.")
@click.option(
    "--spread-seconds",
    default=5.0,
    show_default=True,
    help="Agents of a fleet begin to load a release within so many seconds of each other.",
)
@click.option(
    "--drain-seconds",
    default=10.0,
    show_default=True,
    help="How long to go on answering, as not ready, once told to end.",
)
@click.pass_obj
def agent(
    settings: Settings,
    follow: str,
    host: str,
    port: int,
    device: str,
    every: float,
    spread_seconds: float,
    drain_seconds: float,
) -> None:
    """Bring the Triton beside this process to the wanted release, and say how it is."""
    from recsys_assets.rollout.agent_process import AgentOptions, run_agent
    from recsys_assets.runtime.processes import Address
    from recsys_assets.triton.repository import ON_CPU, ON_GPU

    kind = ON_GPU if device == "gpu" else ON_CPU
    options = AgentOptions(follow, Address(host, port), kind, every, spread_seconds, drain_seconds)
    run_agent(settings, options)


COMMANDS = (agent,)
