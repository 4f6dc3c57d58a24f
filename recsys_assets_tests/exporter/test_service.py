"""The exporter as a process, over a store on disk and one on an S3 server that goes away."""

import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest

from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.exporter.made_up_store import small_store
from recsys_assets_tests.waiting import ended, until

pytestmark = pytest.mark.integration

COMMAND = """
from recsys_assets.exporter.commands import exporter
from recsys_assets.settings import load_settings
exporter(obj=load_settings())
"""
FILL = """
from recsys_assets.storage import Store
from recsys_assets_tests.exporter.made_up_store import publish
publish(Store("s3://shop/recsys"), "2025-03-07")
"""


@contextmanager
def running(environment):
    """Address of an exporter that reads every 0.2 s."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--port", str(port), "--every", "0.2"],
        env=os.environ | environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        assert ended(process) == 0, "it ends in order"


def until_told(url, *lines):
    """Waits for an exposition with these lines."""
    until(lambda: set(lines) <= told(url), ", ".join(lines))


def told(url):
    try:
        with urllib.request.urlopen(f"{url}/metrics") as answer:  # noqa: S310 - loopback
            return set(answer.read().decode().splitlines())
    except OSError:
        return set()


def test_it_tells_of_a_store_on_disk_that_goes_away_and_comes_back(tmp_path):
    small_store(tmp_path / "storage")
    with running({"RECSYS_STORAGE": (tmp_path / "storage").as_uri()}) as url:
        until_told(url, "recsys_store_reachable 1.0", "recsys_promoted_release 1.0")
        (tmp_path / "storage").rename(tmp_path / "elsewhere")
        until_told(url, "recsys_store_reachable 0.0", "recsys_promoted_release 1.0")
        (tmp_path / "elsewhere").rename(tmp_path / "storage")
        until_told(url, "recsys_store_reachable 1.0", "recsys_promoted_release 1.0")


def test_it_tells_of_a_store_on_s3(s3_environment):
    environment = os.environ | s3_environment
    subprocess.run([sys.executable, "-c", FILL], env=environment, check=True)
    with running({**s3_environment, "RECSYS_STORAGE": "s3://shop/recsys"}) as url:
        until_told(url, "recsys_store_reachable 1.0", "recsys_promoted_release 1.0")
