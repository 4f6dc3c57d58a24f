"""The command `recsys exporter`."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from recsys_assets.settings import Settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8092, show_default=True, help="Port to listen on.")
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds between two readings of the store.",
)
@click.pass_obj
def exporter(settings: "Settings", host: str, port: int, every: float) -> None:
    """Tell Prometheus of the online store, and of releases, drift and data in the store."""
    from recsys_assets.exporter.metrics import StoreMetrics, UncollectedAnswers
    from recsys_assets.exporter.reading import StoreReader
    from recsys_assets.exporter.service import serve
    from recsys_assets.pipeline.request_log import connect
    from recsys_assets.runtime.processes import Address
    from recsys_assets.services.online_store_metrics import OnlineStoreMetrics
    from recsys_assets.storage import Store

    answers = UncollectedAnswers(connect(settings.online_store_url), settings.uncollected_answers)
    metrics = StoreMetrics(StoreReader(Store(settings.storage_url)), answers)
    OnlineStoreMetrics(settings.online_store_url, metrics.registry)
    serve(metrics, Address(host, port), every)


COMMANDS = (exporter,)
