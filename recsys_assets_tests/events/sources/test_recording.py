from datetime import date

import polars as pl
import pytest

from recsys_assets.events.contract import DELIVERED_DAY, BrokenInput
from recsys_assets.events.sources.recording import (
    PublishedFile,
    RecordedDays,
    as_interactions,
)

DAYS = RecordedDays(date(2014, 4, 1), date(2014, 4, 30))


@pytest.fixture
def written(tmp_path):
    def write(text, **more):
        path = tmp_path / "views.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return PublishedFile(path, ("sessionId", "itemId"), ";", "download it again", **more)

    return write


def read(file):
    return file.collect(file.scan()).rows()


def test_columns_are_found_by_their_names_wherever_they_stand(written):
    file = written("itemId;seconds;sessionId\n7;90;1\n")

    assert read(file) == [("1", "7")]


@pytest.mark.parametrize(
    "header", ["session_id;item_id", "\ufeffsessionId;itemId", "sessionId;itemId\r"]
)
def test_copies_spell_names_and_lines_in_their_ways(written, header):
    assert read(written(f"{header}\n1;7\n")) == [("1", "7")]


def test_fields_of_a_file_without_a_header_have_their_order(written):
    file = written("1;7\n2;8\n", first_line=r"\d+;\d+")

    assert read(file) == [("1", "7"), ("2", "8")]


def test_what_stands_for_no_value_is_null_and_so_is_a_field_that_a_line_lacks(written):
    assert read(written("sessionId;itemId\nNA;7\n2;\n3\n", missing="NA")) == [
        (None, "7"),
        ("2", None),
        ("3", None),
    ]


def test_quotes_are_text(written):
    assert read(written('sessionId;itemId\n1;"7\n2;8"\n')) == [("1", '"7'), ("2", '8"')]


@pytest.mark.parametrize(
    ("text", "more", "reason"),
    [
        ("", {}, "it is empty"),
        ("\n1;7\n", {}, "it is empty, or its first line is"),
        (
            "sessionId;item\n1;7\n",
            {},
            r"column 'itemId': the column is missing.* sessionId, item\b",
        ),
        ("sessionId,itemId\n1,7\n", {}, "column 'sessionId': the column is missing"),
        ("sessionId;itemId\n1;7\n2;8;9\n", {}, "found more fields than defined"),
        (b"sessionId;itemId\n1;7\n2;\xff\n", {}, "invalid utf-8"),
        (
            "sessionId;itemId\n1;7\n",
            {"first_line": r"\d+;\d+"},
            "first line is 'sessionId;itemId', where sessionId;itemId are expected without",
        ),
        ("1;7;9\n", {"first_line": r"\d+;\d+"}, "first line is '1;7;9'"),
    ],
)
def test_a_file_that_is_not_as_published_is_named_with_reason_and_remedy(
    written, text, more, reason
):
    with pytest.raises(BrokenInput, match=rf"views\.csv.*{reason}.*Remedy: download it again"):
        read(written(text, **more))


def test_a_number_that_is_none_is_named(written):
    file = written("sessionId;itemId\n1;7\nx;8\n")

    with pytest.raises(BrokenInput, match=r"views\.csv.*'sessionId'.*\[\"x\"\].*Remedy"):
        file.collect(file.scan().select(pl.col("sessionId").cast(pl.Int64)))


@pytest.mark.parametrize("at", ["nowhere.csv", "."])
def test_a_file_that_is_not_there_is_named(tmp_path, at):
    file = PublishedFile(tmp_path / at, ("sessionId",), ";", "download it again")

    with pytest.raises(BrokenInput, match=r"there is no such file\. Remedy: download it again"):
        file.scan()


def test_a_row_concerns_the_day_that_it_names():
    dates = pl.DataFrame({"written": ["2014-04-01", "2014-04-30", "2014-05-01", "x", None]})

    def concerned(day):
        rows = dates.filter(DAYS.concern(pl.col("written"), [date(2014, 4, day)]))
        return rows["written"].to_list()

    assert concerned(30) == ["2014-04-30"]
    assert concerned(2) == []
    assert concerned(4) == ["2014-05-01", "x", None]


def test_a_row_without_a_day_of_the_recording_counts_as_delivered_when_nothing_is_late():
    dates = pl.DataFrame({"written": ["2014-04-30", "2014-03-31", "2014-02-30", None]})

    delivered = dates.select(DAYS.delivered(pl.col("written"))).to_series()

    assert delivered.to_list() == [date(2014, 4, 30), *[date(2014, 4, 4)] * 3]


def test_rows_get_the_columns_of_the_contract(written):
    file = written("sessionId;itemId\n")
    rows = pl.DataFrame(
        {"user_id": ["a"], "item_id": ["7"], "event": ["view"], "quantity": [2]}
    ).with_columns(
        pl.lit(None, pl.Datetime("us", "UTC")).alias("timestamp"),
        pl.lit(DAYS.first).alias(DELIVERED_DAY),
    )

    row = as_interactions(rows, file).row(0, named=True)

    assert (row["user_id"], row["quantity"], row["store_id"]) == ("a", 2, None)
    assert (row["source_file"], row["delivered_day"]) == ("views.csv", DAYS.first)
