import pytest

from recsys_assets.storage.online_store import open_store


@pytest.fixture(params=["valkey_url", "valkey_cluster_url"])
def store(request):
    """One Valkey, then a cluster, emptied."""
    with open_store(request.getfixturevalue(request.param)) as client:
        client.flushall()
        yield client
