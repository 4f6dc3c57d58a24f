"""What a step prints is kept on S3, where another pod reads it."""

import sys

import dagster as dg
import pytest
import yaml
from dagster._core.storage.compute_log_manager import ComputeIOType

from recsys_assets_tests.defs.deployment import chart

pytestmark = pytest.mark.integration

SECTION = chart.instance_config(chart.values())["compute_logs"]
BUCKET = SECTION["config"]["bucket"]
STEP = ["a-run", "compute_logs", "a-step"]


def in_pod(folder):
    """The log manager of a process that has its own disk."""
    config = {**SECTION["config"], "local_dir": str(folder)}
    written = yaml.safe_dump({"compute_logs": {**SECTION, "config": config}})
    (folder / "dagster.yaml").write_text(written)
    return dg.DagsterInstance.from_config(str(folder))


def say(stream, line):
    stream.write(line)
    stream.flush()


def test_a_captured_log_is_read_in_another_pod(s3, tmp_path):
    (tmp_path / "step").mkdir()
    (tmp_path / "webserver").mkdir()
    with in_pod(tmp_path / "step") as step, step.compute_log_manager.capture_logs(STEP):
        say(sys.stdout, "4,000 rows of 2017-10-01\n")
        say(sys.stderr, "a warning\n")

    with in_pod(tmp_path / "webserver") as webserver:
        found = webserver.compute_log_manager.get_log_data(STEP)

    assert found.stdout == b"4,000 rows of 2017-10-01\n"
    assert found.stderr == b"a warning\n"
    prefix = SECTION["config"]["prefix"]
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert all(key.startswith(f"{prefix}/storage/a-run/compute_logs/a-step.") for key in keys)


def test_a_log_can_be_looked_at_before_its_step_ends(s3, tmp_path):
    """A training takes hours."""
    assert SECTION["config"]["upload_interval"] <= 60
    with in_pod(tmp_path) as instance:
        manager = instance.compute_log_manager
        with manager.capture_logs(STEP):
            say(sys.stdout, "epoch 1\n")
            manager.upload_to_cloud_storage(STEP, ComputeIOType.STDOUT, partial=True)
            assert manager.cloud_storage_has_logs(STEP, ComputeIOType.STDOUT, partial=True)


def test_what_is_kept_is_deleted_with_its_run(s3, tmp_path):
    with in_pod(tmp_path) as instance:
        manager = instance.compute_log_manager
        with manager.capture_logs(STEP):
            say(sys.stdout, "anything\n")
        assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] > 0

        manager.delete_logs(prefix=["a-run"])

        assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
