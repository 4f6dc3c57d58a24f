"""Files of answers that wait, in a folder and on S3."""

import os
import subprocess
import sys

import pyarrow as pa
import pytest

from recsys_assets.monitoring.answer_parts import (
    REJECTED_PARTS,
    AnswerParts,
    Part,
    batches,
    day_of,
    group_of,
)
from recsys_assets.storage import Store

MONDAY, TUESDAY = group_of("2026-11-23"), group_of("2026-11-24")


def answers(*entry_ids):
    return pa.table({"entry_id": entry_ids, "request_id": [f"r{one}" for one in entry_ids]})


def exercise(parts):
    """What holds of every store: in the end one part is left."""
    assert parts.waiting() == {}
    assert parts.of(MONDAY) == []
    parts.write(MONDAY, answers("1000-0", "1000-1"))
    parts.write(MONDAY, answers("999-7"))
    parts.write(TUESDAY, answers("1000-2"))
    parts.write(REJECTED_PARTS, answers("1000-3"))
    assert parts.waiting() == {MONDAY: 3, TUESDAY: 1, REJECTED_PARTS: 1}
    first, second = parts.of(MONDAY)
    assert first == Part(f"{MONDAY}/999-7_999-7_1.parquet", 1), "as the stream has them"
    (rows,) = batches(parts.url(second), ["request_id"])
    assert rows["request_id"].to_pylist() == ["r1000-0", "r1000-1"]
    parts.delete([first, second, *parts.of(REJECTED_PARTS)])
    parts.delete([first])
    assert parts.waiting() == {TUESDAY: 1}


def test_in_a_folder(tmp_path):
    exercise(AnswerParts(Store(tmp_path.as_uri())))
    assert [folder.name for folder in (tmp_path / "answers").iterdir()] == [TUESDAY]


@pytest.mark.integration
def test_on_s3(s3_environment):
    script = f"""
from recsys_assets.monitoring.answer_parts import AnswerParts
from recsys_assets.storage import Store
from {__name__} import exercise
exercise(AnswerParts(Store("s3://shop/recsys")))
"""
    subprocess.run([sys.executable, "-c", script], env=os.environ | s3_environment, check=True)


def test_the_same_entries_again_replace_their_part(tmp_path):
    parts = AnswerParts(Store(tmp_path.as_uri()))
    for _ in range(2):
        parts.write(MONDAY, answers("1-0", "1-1"))
    assert parts.waiting() == {MONDAY: 2}


def test_what_a_kill_has_left_is_no_part(tmp_path):
    parts = AnswerParts(Store(tmp_path.as_uri()))
    parts.write(MONDAY, answers("1-0"))
    (tmp_path / "answers" / MONDAY / ".1-1_1-1_1.parquet.0a1b").write_bytes(b"PAR1")
    assert parts.waiting() == {MONDAY: 1}


def test_a_group_tells_its_day():
    assert [day_of(group) for group in (MONDAY, REJECTED_PARTS)] == ["2026-11-23", ""]
