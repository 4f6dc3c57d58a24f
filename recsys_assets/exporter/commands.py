"""The command `recsys exporter`: answers Prometheus, and reads the store at an interval."""

import logging
from typing import TYPE_CHECKING

import click
from prometheus_client import start_http_server

from recsys_assets.exporter.metrics import StoreMetrics
from recsys_assets.runtime.processes import Address
from recsys_assets.runtime.stopping import told_to_stop

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
    from recsys_assets.pipeline.request_log import connect
    from recsys_assets.runtime.processes import Address
    from recsys_assets.services.online_store_metrics import OnlineStoreMetrics
    from recsys_assets.storage import Store

    answers = UncollectedAnswers(connect(settings.online_store_url), settings.uncollected_answers)
    metrics = StoreMetrics(StoreReader(Store(settings.storage_url)), answers)
    OnlineStoreMetrics(settings.online_store_url, metrics.registry)
    serve(metrics, Address(host, port), every)


COMMANDS = (exporter,)


def serve(metrics: StoreMetrics, address: Address, every: float) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        metrics: to be told, and read anew at an interval.
        address: to listen on.
        every: seconds between two readings.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = told_to_stop()
    server, thread = start_http_server(address.port, addr=address.host, registry=metrics.registry)
    try:
        while not stop.is_set():
            metrics.look()
            stop.wait(every)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
