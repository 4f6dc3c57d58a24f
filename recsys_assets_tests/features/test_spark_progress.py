import time
from pathlib import Path

import pytest

from recsys_assets.features.spark_session import told_tasks

pytestmark = pytest.mark.integration


def wait_for(file):
    while not Path(file).exists():
        time.sleep(0.05)
    return file


def test_tasks_that_run_are_told(spark, tmp_path):
    told, file = [], tmp_path / "told"

    def progress(done, total):
        told.append((done, total))
        file.touch()

    with told_tasks(spark, progress):
        spark.sparkContext.parallelize([str(file)] * 2, 2).map(wait_for).collect()

    assert told[0] == (0, 2)


def test_nothing_is_told_afterwards(spark):
    told = []
    with told_tasks(spark, lambda done, total: told.append(done)):
        pass

    spark.sparkContext.parallelize([1.0], 1).map(time.sleep).collect()

    assert told == []
