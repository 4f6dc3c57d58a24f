from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_assets.events.contract import INTERACTIONS, BrokenInput
from recsys_assets.events.sources import ParquetSource
from recsys_assets_tests.events.deliveries import (
    DAY,
    GOOD,
    at,
    write_events,
    write_shop,
    write_table,
)

FIRST = date(2024, 5, 1)
LAST = date(2024, 5, 31)


@pytest.fixture
def shop(tmp_path):
    return write_shop(tmp_path / "shop")


def source(folder):
    return ParquetSource(folder.as_uri(), FIRST, LAST)


def read(folder, *days):
    return source(folder).interactions(days or [DAY])


def test_tables_of_things_are_read_with_their_extra_columns(shop):
    assert source(shop).items().column("colour").to_pylist() == ["green", "black", "white"]
    assert source(shop).users().column_names == ["user_id", "age"]
    assert source(shop).user_attributes == ("age",)
    assert source(shop).promotions().num_rows == 0


def test_a_day_folder_says_when_its_rows_were_delivered(shop):
    write_events(shop, "day=2024-05-02/part-0.parquet", {})

    rows = read(shop)

    assert rows["delivered_day"].to_list() == [DAY]
    assert rows["source_file"].to_list() == ["interactions/day=2024-05-02/part-0.parquet"]


def test_a_day_reads_its_folder_and_those_of_the_days_in_which_rows_may_come_late(shop):
    for day in (1, 2, 3, 5, 6):
        write_events(shop, f"day=2024-05-{day:02}/x.parquet", {"session_id": str(day)})

    assert read(shop)["session_id"].sort().to_list() == ["2", "3", "5"]


def test_files_outside_day_folders_are_cut_to_the_days(shop):
    write_events(shop, "2024/may.parquet", {}, {"timestamp": at(3)}, {"timestamp": at(4)})

    assert read(shop)["timestamp"].to_list() == [GOOD["timestamp"]]
    assert read(shop, DAY, date(2024, 5, 4))["timestamp"].to_list() == [GOOD["timestamp"], at(4)]


def test_row_groups_of_other_days_are_not_read(shop, monkeypatch):
    rows = [{**GOOD, "timestamp": at(day)} for day in range(1, 11)]
    path = shop / "interactions/all.parquet"
    path.parent.mkdir()
    table = pa.Table.from_pylist(rows, schema=INTERACTIONS.schema)
    pq.write_table(table, path, row_group_size=1)
    asked = []
    original = pq.ParquetFile.read_row_groups

    def recording(self, groups, columns):
        asked.extend(groups)
        return original(self, groups, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", recording)

    assert read(shop)["timestamp"].to_list() == [at(2)]
    assert asked == [1]


@pytest.mark.parametrize(
    "timestamp",
    [None, datetime(1960, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)],
)
def test_a_row_without_a_usable_time_is_placed_on_the_newest_day_of_its_file(shop, timestamp):
    write_events(
        shop, "a.parquet", {}, {"timestamp": timestamp, "user_id": "x"}, {"timestamp": at(7)}
    )

    rows = read(shop, date(2024, 5, 7)).filter(user_id="x")

    assert rows["delivered_day"].to_list() == [date(2024, 5, 7)]


def test_a_file_without_any_usable_time_is_placed_on_the_first_day(shop):
    times = pa.array([2**63 - 1, None], pa.int64()).cast(pa.timestamp("us"))
    text = pa.array(["x", "y"])
    columns = {"user_id": text, "item_id": text, "timestamp": times, "event": text}
    write_table(shop, "a.parquet", pa.table(columns))

    assert read(shop, FIRST)["delivered_day"].to_list() == [FIRST, FIRST]


@pytest.mark.parametrize("keep", [0, 3, 100, -20])
def test_a_truncated_file_is_named_with_reason_and_remedy(shop, keep):
    path = write_events(shop, "day=2024-05-02/cut.parquet", {})
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(BrokenInput, match=r"cut\.parquet: it cannot be read as Parquet.*Remedy"):
        read(shop)


def test_damaged_pages_are_an_error(shop):
    path = write_events(shop, "day=2024-05-02/damaged.parquet", *[{}] * 50)
    data = bytearray(path.read_bytes())
    data[4:120] = bytes(116)
    path.write_bytes(data)

    with pytest.raises(BrokenInput, match=r"damaged\.parquet"):
        read(shop)


def test_a_missing_column_names_file_and_column(shop):
    path = write_events(shop, "day=2024-05-02/x.parquet", {})
    pq.write_table(pq.read_table(path).drop_columns(["event"]), path)

    with pytest.raises(BrokenInput, match=r"x\.parquet, column 'event': the column is missing"):
        read(shop)


def test_a_wrong_type_names_file_and_column(shop):
    path = write_events(shop, "x.parquet", {})
    table = pq.read_table(path)
    prices = table.column("price").cast(pa.string())
    pq.write_table(table.drop_columns(["price"]).append_column("price", prices), path)

    with pytest.raises(BrokenInput, match=r"x\.parquet, column 'price': its type is string"):
        read(shop)


def test_a_folder_that_names_no_day_is_an_error(shop):
    write_events(shop, "day=yesterday/x.parquet", {})

    with pytest.raises(BrokenInput, match="day=yesterday is no day"):
        read(shop)


def test_no_delivery_at_all_is_an_error(shop):
    with pytest.raises(BrokenInput, match="RECSYS_SOURCE_URL"):
        read(shop)


def test_no_catalogue_is_an_error(tmp_path):
    with pytest.raises(BrokenInput, match=r"items\.parquet: the file does not exist"):
        source(tmp_path).items()


@pytest.mark.parametrize("name", ["_temporary/0/x.parquet", "day=2024-05-02/.x.parquet"])
def test_unfinished_files_of_a_writer_are_left_alone(shop, name):
    write_events(shop, "day=2024-05-02/x.parquet", {})
    write_events(shop, name, {"user_id": "unfinished"})

    assert read(shop)["user_id"].to_list() == ["ann"]


def test_a_day_without_a_file_has_no_rows(shop):
    write_events(shop, "day=2024-05-20/x.parquet", {"timestamp": at(20)})

    rows = read(shop)

    assert rows.is_empty()
    assert rows.columns == [*INTERACTIONS.names, "source_file", "delivered_day"]


def test_files_are_told_apart_whatever_their_names(shop):
    write_events(shop, "a b.parquet", {"user_id": "space"})
    write_events(shop, "a%20b.parquet", {"user_id": "code"}, {"user_id": "code too"})
    write_events(shop, "hour=2024-05-02 09%3A00%3A00/part-0.parquet", {"user_id": "hour"})
    write_events(shop, "week #1?.parquet", {"user_id": "week"})

    rows = read(shop)

    assert rows["user_id"].sort().to_list() == ["code", "code too", "hour", "space", "week"]
    assert "interactions/a%20b.parquet" in rows["source_file"].to_list()


@pytest.mark.parametrize("name", ["a.csv", "x.PARQUET", "x.pq", "x.parquet.gz", "_x.parquet"])
def test_a_delivery_with_only_names_that_are_not_read_is_an_error(shop, name):
    write_events(shop, name, {})

    with pytest.raises(BrokenInput, match=r"no file \*\.parquet in it.*RECSYS_SOURCE_URL"):
        read(shop)


def test_so_is_that_of_a_day_for_the_days_that_look_at_it(shop):
    write_events(shop, "README.txt", {})
    write_events(shop, "day=2024-05-02/x.PARQUET", {})
    write_events(shop, "day=2024-05-10/x.parquet", {"timestamp": at(10)})

    assert len(read(shop, date(2024, 5, 10))) == 1
    with pytest.raises(BrokenInput, match=r"x\.PARQUET: its name does not end in \.parquet"):
        read(shop)


def test_a_day_with_nothing_but_a_writers_mark_has_no_rows(shop):
    write_events(shop, "day=2024-05-02/_SUCCESS", {})
    write_events(shop, "day=2024-05-20/x.parquet", {"timestamp": at(20)})

    assert read(shop).is_empty()
