"""The same storage code against a real S3 protocol server."""

import os
import subprocess
import sys

import pytest

from recsys_assets.settings import load_settings
from recsys_assets_tests.waiting import LIMIT

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
        for number in range(40):  # more than are copied at once
            (draft.path / f"part-{number}").write_text(content)
assert model.current() == draft.version
assert len(model.versions()) == 2
assert len(list(model.fetch().iterdir())) == 42  # with the marker of a whole version
assert (model.fetch() / "sub/weights").read_text() == "two"
assert (model.fetch() / "sub/weights").read_text() == "two"  # from the cache
"""


@pytest.mark.parametrize("environment", ["orchestration", "models"])
def test_tables_and_artifacts_live_on_s3(tmp_path, s3_environment, environment):
    python = sys.executable if environment == "orchestration" else load_settings().models_python
    command = [python, "-c", SCRIPT, tmp_path]
    subprocess.run(command, env=os.environ | s3_environment, check=True, timeout=LIMIT)
