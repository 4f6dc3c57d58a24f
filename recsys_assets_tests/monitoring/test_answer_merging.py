"""Which rows of a day's files are kept, and how a partition is made of them."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_assets.monitoring import answer_parts
from recsys_assets.monitoring.answer_parts import RowVerdict, first_of_each, judge, rewrite
from recsys_assets.monitoring.answer_table import COLUMNS
from recsys_assets.storage import Store

KEEP, REPEATED, CONTRADICTS = RowVerdict
ASKED = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = "2026-11-23"


@pytest.fixture
def file(tmp_path):
    """Writes a file of answers, given as request id, seconds until the answer, and user."""

    def file(*answers):
        rows = [
            {
                "request_id": request_id,
                "user_id": user,
                "device": "web",
                "timestamp": ASKED,
                "answered_at": ASKED + timedelta(seconds=seconds),
            }
            for request_id, seconds, user in answers
        ]
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, COLUMNS), path)
        return path.as_uri()

    return file


class TestJudge:
    def test_different_requests_are_all_kept(self, file):
        urls = [
            file(*((f"r{n}", 1, "ann") for n in range(start, start + 100))) for start in (0, 100)
        ]
        assert judge([], urls).tolist() == [KEEP] * 200

    def test_the_earliest_answer_is_kept_wherever_it_is(self, file):
        urls = [file(("r1", 9, "ann")), file(("r2", 1, "ann"), ("r1", 3, "ann"))]
        assert judge([], urls).tolist() == [REPEATED, KEEP, KEEP]

    def test_of_two_at_the_same_moment_the_first_is_kept(self, file):
        assert judge([], [file(("r1", 1, "ann"), ("r1", 1, "ann"))]).tolist() == [KEEP, REPEATED]

    def test_what_the_partition_holds_is_kept_in_any_case(self, file):
        partition, part = file(("r1", 9, "ann")), file(("r1", 1, "ann"))
        assert judge([partition], [part]).tolist() == [KEEP, REPEATED]

    def test_an_id_of_another_request_is_told_from_a_repetition(self, file):
        urls = [file(("r1", 1, "ann"), ("r1", 2, "bob"), ("r1", 3, "ann"))]
        assert judge([], urls).tolist() == [KEEP, CONTRADICTS, REPEATED]

    def test_nothing_is_nothing(self, file):
        assert judge([], []).tolist() == []
        assert judge([file()], []).tolist() == []


def test_the_first_row_of_each_value_is_found_across_files(file):
    urls = [file(("r1", 1, "ann"), ("r2", 1, "ann")), file(("r2", 2, "ann"), ("r3", 1, "ann"))]
    assert first_of_each(urls, "request_id").tolist() == [KEEP, KEEP, REPEATED, KEEP]


def test_a_partition_is_made_of_what_is_kept(file, tmp_path, monkeypatch):
    monkeypatch.setattr(answer_parts, "ROWS", 3)
    urls = [file(*((f"r{n}", 1, "ann") for n in range(2))) for _ in range(4)]
    table, told = Store((tmp_path / "store").as_uri()).table("request_log"), []
    verdicts = judge([], urls)
    verdicts[-1] = CONTRADICTS
    rewrite(table, DAY, COLUMNS, urls, verdicts, told.append)
    assert table.read([DAY])["request_id"].to_pylist() == ["r0", "r1"]
    assert [rows["request_id"].to_pylist() for rows in told] == [["r1"]]


def test_a_partition_of_nothing_has_its_columns(tmp_path):
    table = Store(tmp_path.as_uri()).table("request_log")
    rewrite(table, DAY, COLUMNS, [], judge([], []))
    assert table.read([DAY]).schema == COLUMNS
