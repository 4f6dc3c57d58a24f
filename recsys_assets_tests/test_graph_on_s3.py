"""The whole graph with its store on S3 gives what it gives in a folder, byte for byte."""

import re

import boto3
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.storage import build
from recsys_assets_tests.shop import write_shop

pytestmark = [pytest.mark.integration, pytest.mark.timeout(7200), pytest.mark.slow]

VERSION = re.compile(r"\d{8}T\d+-[0-9a-f]{8}")
# What says when it was made, how long that took, or where it lies.
OF_THE_MOMENT = (
    "CURRENT",  # the version's name is a time
    "_COMPLETE",  # the bytes of metrics.json
    "metrics.json",  # seconds
    "manifest.json",
    "release.json",
    "promoted.json",
    "registry.db",
)
# How a release gets a number of its own.
ONLY_IN = {"file": {"releases/.lock"}, "s3": {"releases/claims/1"}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph-on-s3")
    write_shop(folder / "shop")
    return folder


def variables(shop):
    return {
        "RECSYS_SOURCE": "parquet",
        "RECSYS_SOURCE_URL": str(shop / "shop"),
        "RECSYS_FIRST_DAY": "2025-01-01",
        "RECSYS_LAST_DAY": "2025-03-04",
        "RECSYS_TODAY": "2025-02-26",
    }


@pytest.fixture
def in_a_folder(shop):
    build(shop / "file", variables(shop))
    root = shop / "file" / "storage"
    paths = (path for path in root.rglob("*") if path.is_file())
    return {nameless(str(path.relative_to(root))): path.read_bytes() for path in paths}


@pytest.fixture
def on_s3(shop, s3_environment):
    build(shop / "s3", {**variables(shop), **s3_environment, "RECSYS_STORAGE": "s3://shop/recsys"})
    bucket = boto3.resource(
        "s3",
        endpoint_url=s3_environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    ).Bucket("shop")
    return {
        nameless(item.key.removeprefix("recsys/")): item.get()["Body"].read()
        for item in bucket.objects.all()
    }


def nameless(path):
    """A path without the names of versions, which are times."""
    return VERSION.sub("VERSION", path)


def weights(model):
    """An exported model but for names and order of its nodes, which the exporter chooses anew."""
    graph = onnx.load_from_string(model).graph
    arrays = sorted(numpy_helper.to_array(tensor).tobytes() for tensor in graph.initializer)
    return sorted(node.op_type for node in graph.node), arrays


def test_the_same_results_in_both(in_a_folder, on_s3):
    assert set(in_a_folder) - set(on_s3) == ONLY_IN["file"]
    assert set(on_s3) - set(in_a_folder) == ONLY_IN["s3"]
    compared = 0
    for path in sorted(set(in_a_folder) & set(on_s3)):
        ours, theirs = in_a_folder[path], on_s3[path]
        if path.endswith(".onnx"):
            assert weights(ours) == weights(theirs), path
        elif not path.endswith(OF_THE_MOMENT):
            assert ours == theirs, path
            compared += 1
    assert compared > 350
    assert not [path for path in on_s3 if path.startswith("staging/")]
