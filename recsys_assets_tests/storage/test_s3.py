"""The same storage code against a real S3 protocol server."""

import os
import subprocess
import sys

import boto3
import pytest
from moto.server import ThreadedMotoServer

pytestmark = pytest.mark.integration

SCRIPT = """
import sys
from pathlib import Path
import pyarrow as pa
from recsys_assets.storage import MissingPartition, Store

store = Store("s3://shop/recsys", cache=Path(sys.argv[1]))
events = store.table("events")
events.write(pa.table({"item_id": ["a"]}), "2017-01-01")
events.write(pa.table({"item_id": ["b"]}), "2017-01-01")
assert events.days() == ["2017-01-01"]
assert events.read(["2017-01-01"])["item_id"].to_pylist() == ["b"]
try:
    events.read(["2017-01-02"])
except MissingPartition as error:
    assert "2017-01-02" in str(error)
else:
    raise AssertionError("a missing partition must be an error")

model = store.artifact("model")
assert model.current() is None
for content in ("one", "two"):
    with model.new_version() as draft:
        (draft.path / "sub").mkdir()
        (draft.path / "sub/weights").write_text(content)
assert model.current() == draft.version
assert len(model.versions()) == 2
assert (model.fetch() / "sub/weights").read_text() == "two"
assert (model.fetch() / "sub/weights").read_text() == "two"  # from the cache
"""


def test_tables_and_artifacts_live_on_s3(tmp_path):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106
        ).create_bucket(Bucket="shop")
        # A process of its own: the S3 file system reads its environment once.
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)],
            env=os.environ | environment,
            check=True,
        )
    finally:
        server.stop()
