"""Commands that run the services: `recsys serve-recommend`, `serve-events` and `land-events`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from recsys_assets.settings import Settings
    from recsys_assets.storefront.access import Tokens

_Command = Callable[..., Any]


def _bind(port: int) -> Callable[[_Command], _Command]:
    """Options of where a service listens."""

    def add(command: _Command) -> _Command:
        for option in (
            click.option("--port", default=port, show_default=True, help="Port to listen on."),
            click.option("--host", default="127.0.0.1", show_default=True, help="Address."),
        ):
            command = option(command)
        return command

    return add


def _protection(command: _Command) -> _Command:
    """Options of who may call, and of how connections end."""
    for option in (
        click.option(
            "--keep-alive-seconds",
            type=click.IntRange(min=1),
            default=75,
            show_default=True,
            help="Idle connections are kept for so long: longer than a balancer in front does.",
        ),
        click.option(
            "--drain-seconds",
            type=click.FloatRange(min=0),
            default=5.0,
            show_default=True,
            help="Time to answer on after SIGTERM, unready.",
        ),
        click.option(
            "--no-auth",
            is_flag=True,
            help="No token even beyond this machine: an ingress or a mesh authenticates callers.",
        ),
    ):
        command = option(command)
    return command


def _tokens(settings: "Settings", host: str, no_auth: bool) -> "Tokens | None":
    """Those that let callers in; None where there are none and need be none."""
    from recsys_assets.storefront.access import Tokens, require_protection

    try:
        require_protection(host, settings.api_token, no_auth)
        given = settings.api_token
        return None if given is None else Tokens(given, settings.api_token_file)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@click.command("serve-recommend")
@_bind(8090)
@_protection
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Requests answered at a time; further ones get 503.",
)
@click.option(
    "--deadline-ms",
    type=click.IntRange(min=1, max=10_000),
    default=500,
    show_default=True,
    help="Of requests that give none.",
)
@click.option(
    "--cache-seconds",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Answer anonymous visitors from Triton's cache for so long; 0 is off.",
)
@click.pass_obj
def serve_recommend(
    settings: "Settings",
    no_auth: bool,
    concurrency: int,
    deadline_ms: int,
    cache_seconds: int,
    **bind: Any,
) -> None:
    """Answer GET /v1/recommendations from the Triton of the settings.

    Callers bring RECSYS_API_TOKEN, where it is set.
    """
    from recsys_assets.storefront.recommend_service import QueryLimits, recommend_service
    from recsys_assets.storefront.web import Bind, serve

    tokens = _tokens(settings, bind["host"], no_auth)
    limits = QueryLimits(concurrency, deadline_ms, cache_seconds)
    serve(*recommend_service(settings.triton_grpc, limits, tokens), Bind(**bind))


@click.command("serve-events")
@_bind(8091)
@_protection
@click.pass_obj
def serve_events(settings: "Settings", no_auth: bool, **bind: Any) -> None:
    """Accept POST /v1/events and PUT /v1/items into the online store of the settings.

    Callers bring RECSYS_API_TOKEN, where it is set.
    """
    from recsys_assets.pipeline.seen_settings import FilterSettings
    from recsys_assets.storefront.event_intake import IntakeLimits, connect
    from recsys_assets.storefront.event_service import event_service
    from recsys_assets.storefront.web import Bind, serve

    tokens = _tokens(settings, bind["host"], no_auth)
    filters = FilterSettings(expire_days=settings.seen_expire_days)
    store = connect(settings.online_store_url)
    serve(*event_service(store, IntakeLimits(), filters, tokens), Bind(**bind))


@click.command("land-events")
@_bind(8093)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Land after so long, however few events there are.",
)
@click.option(
    "--events",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Land as soon as there are so many.",
)
@click.pass_obj
def land_events(settings: "Settings", host: str, port: int, seconds: float, events: int) -> None:
    """Write accepted events to the Parquet source of the settings, until interrupted."""
    from recsys_assets.storefront.event_intake import connect
    from recsys_assets.storefront.event_landing import Pace, landing_service
    from recsys_assets.storefront.web import Bind, serve

    if settings.source != "parquet" or settings.source_url is None:
        raise click.ClickException(
            f"RECSYS_SOURCE={settings.source} takes no new events: set RECSYS_SOURCE=parquet and "
            "RECSYS_SOURCE_URL to the folder or s3:// prefix that they belong to"
        )
    store = connect(settings.online_store_url)
    service, app = landing_service(store, settings.source_url, Pace(seconds, events))
    serve(service, app, Bind(host, port))


COMMANDS = (serve_recommend, serve_events, land_events)
