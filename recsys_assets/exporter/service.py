"""The exporter as a process: answers Prometheus at any path, and reads the store at an interval."""

import logging

from prometheus_client import start_http_server

from recsys_assets.exporter.metrics import StoreMetrics
from recsys_assets.runtime.processes import Address
from recsys_assets.runtime.stopping import told_to_stop


def serve(metrics: StoreMetrics, address: Address, every: float) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        metrics: to be told, and read anew at an interval.
        address: to listen on.
        every: seconds between two readings.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = told_to_stop()
    server, _ = start_http_server(address.port, addr=address.host, registry=metrics.registry)
    try:
        while not stop.is_set():
            metrics.look()
            stop.wait(every)
    finally:
        server.shutdown()
        server.server_close()
