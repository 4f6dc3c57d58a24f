"""A pod over a store on S3: what is fetched, what is kept, and the store away for a while."""

import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

from recsys_assets.releases.release import MANIFEST, Reason
from recsys_assets.services import deployment
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.serving.pods import Pod, shop_in, storefront
from recsys_assets_tests.serving.tiny_release import publish_tiny_release
from recsys_assets_tests.waiting import until

pytestmark = pytest.mark.integration

BECAUSE = Reason("a test", "pytest")
BUCKET, PREFIX = "shop", "storage/releases"


class Bucket:
    """Sends what a local store holds of releases to S3."""

    def __init__(self, environ):
        self.client = boto3.client(
            "s3",
            endpoint_url=environ["AWS_ENDPOINT_URL"],
            region_name=environ["AWS_REGION"],
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106
        )

    def put(self, file, root):
        key = f"{PREFIX}/{file.relative_to(root)}"
        self.client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())

    def send_release(self, releases, release):
        folder = releases.fetch(release)
        root = folder.parent
        files = [file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST]
        for file in [*files, folder / MANIFEST]:
            self.put(file, root)

    def promote(self, releases, release):
        last = releases.promoted()
        releases.record(release, (*last.before, last.release) if last else (), BECAUSE)
        root = Path(urlsplit(releases.url).path)
        self.put(root / "promoted.json", root)


@pytest.fixture
def server():
    """An S3 server that keeps its objects while it is away."""

    class Server:
        def __init__(self):
            self.port = free_port()
            self.start()

        def start(self):
            self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port)
            self._server.start()

        def stop(self):
            self._server.stop()

        @property
        def environ(self):
            return {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_REGION": "us-east-1",
                "RECSYS_STORAGE": f"s3://{BUCKET}/storage",
            }

    server = Server()
    yield server
    server.stop()


@pytest.fixture
def bucket(server):
    bucket = Bucket(server.environ)
    bucket.client.create_bucket(Bucket=BUCKET)
    return bucket


@pytest.fixture
def shop(tmp_path):
    with shop_in(tmp_path / "shop") as settings:
        yield settings


@pytest.fixture
def pod(tmp_path, shop, server):
    pod = Pod.new(tmp_path / "pod", shop, server.environ)
    yield pod
    pod.stop()


def copies(pod):
    return {path.name for path in (pod.settings.home / "agent" / "releases").iterdir()}


@pytest.mark.slow
def test_a_pod_serves_on_while_the_store_is_away(pod, bucket, server, shop):
    releases = deployment.releases(shop)
    first, second, third = (publish_tiny_release(releases) for _ in range(3))
    bucket.send_release(releases, first)
    bucket.promote(releases, first)
    pod.start()
    until(lambda: pod.is_ready() and pod.serves(first))
    assert copies(pod) == {str(first)}

    with storefront([pod]) as outcomes:
        server.stop()
        reached = "recsys_agent_store_reached 0.0"
        until(lambda: reached in pod.get("/metrics")[1])
        until(lambda: "store of releases is not reached" in pod.state().error)
        assert pod.is_ready()
        assert pod.state().wanted == first
    assert set(outcomes) == {"sound"}

    # Whatever is started again meanwhile comes back from the pod's own copy.
    pod.kill_agent()
    os.killpg(pod.triton.daemon.pid, signal.SIGKILL)
    pod.start()
    until(lambda: pod.is_ready() and pod.serves(first))

    server.start()
    until(lambda: pod.state().error == "")
    for release in (second, third):
        bucket.send_release(releases, release)
        bucket.promote(releases, release)
        until(lambda release=release: pod.serves(release))
    until(lambda: copies(pod) == {str(second), str(third)})


def test_a_damaged_copy_is_fetched_anew(pod, bucket, shop):
    releases = deployment.releases(shop)
    first, second = (publish_tiny_release(releases) for _ in range(2))
    for release in (first, second):
        bucket.send_release(releases, release)
    bucket.promote(releases, first)
    pod.start()
    until(lambda: pod.serves(first))

    key = f"{PREFIX}/{second}/models/pipeline/{second}/vectors.npy"
    whole = bucket.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    bucket.client.put_object(Bucket=BUCKET, Key=key, Body=whole[:-1])
    bucket.promote(releases, second)
    until(lambda: f"release {second} is damaged" in pod.state().error)
    assert pod.is_ready()
    assert pod.serves(first)

    bucket.client.put_object(Bucket=BUCKET, Key=key, Body=whole)
    until(lambda: pod.serves(second))
