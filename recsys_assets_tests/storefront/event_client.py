"""A client of the event service over a real store."""

from fastapi.testclient import TestClient

from recsys_assets.storage.online_store import open_store
from recsys_assets.storefront.event_service import event_service
from recsys_assets_tests.waiting import LIMIT


def client_of(url, *given, **options):
    store = open_store(url, socket_timeout=LIMIT, socket_connect_timeout=LIMIT, retry=None)
    _, app = event_service(store, *given, **options)
    return TestClient(app)


def metric(client, sample):
    """A sample's value; 0 if there is none yet."""
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{sample} ")), 0.0)
