"""What uploads and listings ask of S3."""

import os
import signal
import subprocess
import sys
import time
import uuid

import pyarrow as pa
import pytest

from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import read_bytes
from recsys_assets.storage.s3_upload import upload_file

pytestmark = pytest.mark.integration

UPLOAD = """
import sys
from pathlib import Path
from recsys_assets.storage import s3_upload
s3_upload._PARALLEL = 1
s3_upload.upload_file(Path(sys.argv[1]), sys.argv[2])
"""


def parts(proxy):
    return [path for command, path in proxy.seen if command == "PUT" and "partNumber" in path]


def test_a_killed_upload_is_gone_on_with(proxy, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(b"".join(bytes([n]) * (16 << 20) for n in range(5)))
    url = f"s3://shop/{uuid.uuid4().hex}"
    proxy.fault = lambda request: "partNumber=3" in request.path and proxy.gone_on.wait(5)
    process = subprocess.Popen([sys.executable, "-c", UPLOAD, str(file), url], env=os.environ)
    while len(parts(proxy)) < 3:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert read_bytes(url) is None
    proxy.fault = lambda _: False
    proxy.seen.clear()

    upload_file(file, url)

    assert not [p for p in parts(proxy) if "partNumber=1&" in p or "partNumber=2&" in p]
    assert read_bytes(url) == file.read_bytes()


def test_listings_take_one_request_however_many_entries(proxy, tmp_path):
    store = Store(f"s3://shop/{uuid.uuid4().hex}", cache=tmp_path)
    table, model = store.table("events"), store.artifact("model")
    days = [f"2017-01-{day:02}" for day in range(1, 11)]
    for day in days:
        table.write(pa.table({"n": [1]}), day)
    for _ in range(3):
        with model.new_version() as draft:
            (draft.path / "weights").write_text("1")
    for listing, found in ((table.days, 10), (table.versions, 10), (model.versions, 3)):
        proxy.seen.clear()
        assert len(listing()) == found
        assert len(proxy.seen) == 1
