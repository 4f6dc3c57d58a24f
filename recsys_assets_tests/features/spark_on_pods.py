"""Starts a session whose executors are pods; arguments: API server's URL, the driver pod's name."""

import sys
from dataclasses import replace

from pyspark.sql import SparkSession

from recsys_assets.features.spark_session import Driver, spark_options
from recsys_assets.settings import load_settings


def main(api: str, pod: str) -> None:
    cluster = load_settings().cluster
    assert cluster is not None
    here = replace(cluster, spark_master=f"k8s://{api}")
    options = spark_options(here, memory="512m", short=True, driver=Driver(pod, "127.0.0.1"))
    SparkSession.builder.config(map=options).getOrCreate()


if __name__ == "__main__":
    main(*sys.argv[1:])
