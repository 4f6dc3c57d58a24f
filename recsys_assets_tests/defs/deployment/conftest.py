"""A cluster for all tests of this folder that want one, and a run in it."""

import boto3
import pytest

from recsys_assets_tests.defs.deployment import chart
from recsys_assets_tests.defs.deployment.cluster_without_nodes import (
    ROLLBACK,
    cluster_without_nodes,
)


@pytest.fixture(scope="package")
def cluster(tmp_path_factory):
    with cluster_without_nodes(tmp_path_factory.mktemp("dagster-home")) as cluster:
        yield cluster


@pytest.fixture(scope="package")
def rollback(cluster):
    """A run of the job that nobody wants to wait for, and its Job."""
    return cluster.launch("rollback_release", ROLLBACK)


@pytest.fixture
def s3(s3_environment, monkeypatch):
    """A client of an S3 server with the bucket of the chart's values, which this process finds."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    logs = chart.instance_config(chart.values())["compute_logs"]["config"]
    client.create_bucket(Bucket=logs["bucket"])
    return client
