import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys_assets.storage import MissingPartition, Store, store


@pytest.fixture
def table(tmp_path):
    return Store(f"file://{tmp_path}").table("events")


def test_a_partition_is_read_back(table):
    table.write(pa.table({"item_id": ["a", "b"]}), "2017-01-02")
    table.write(pa.table({"item_id": ["c"]}), "2017-01-01")

    assert table.days() == ["2017-01-01", "2017-01-02"]
    assert table.read(["2017-01-02", "2017-01-01"])["item_id"].to_pylist() == ["a", "b", "c"]


def test_only_the_columns_asked_for_are_read(table):
    table.write(pa.table({"item_id": ["a"], "price": [1.0]}))

    assert table.read(columns=["price"]).column_names == ["price"]


def test_writing_again_replaces_the_partition(table):
    table.write(pa.table({"item_id": ["a"]}), "2017-01-01")
    table.write(pa.table({"item_id": ["b"]}), "2017-01-01")

    assert table.read(["2017-01-01"])["item_id"].to_pylist() == ["b"]


def test_a_partition_may_be_written_bit_by_bit_and_appears_as_a_whole(table):
    table.write(pa.table({"item_id": ["old"]}), "2017-01-01")
    seen = []

    def parts():
        for name in "ab":
            yield pa.table({"item_id": [name]})
            seen.append(table.read(["2017-01-01"])["item_id"].to_pylist())

    table.write_all(pa.schema([("item_id", pa.string())]), parts(), "2017-01-01")

    assert seen == [["old"], ["old"]]
    assert table.read(["2017-01-01"])["item_id"].to_pylist() == ["a", "b"]


def test_what_is_kept_of_a_partition_is_read_a_part_at_a_time(table, monkeypatch):
    monkeypatch.setattr(store, "PART_ROWS", 3)
    table.write(pa.table({"number": range(10), "text": ["x"] * 10}), "2017-01-01")
    held = []

    def keep_even(rows):
        held.append(rows.num_rows)
        return rows.filter(pc.equal(pc.bit_wise_and(rows["number"], 1), 0))

    kept = table.read_kept("2017-01-01", keep_even, ["number"])
    assert kept.to_pydict() == {"number": [0, 2, 4, 6, 8]}
    assert max(held) == 3


def test_an_empty_partition_has_columns_and_nothing_to_keep(table):
    table.write(pa.table({"number": pa.array([], pa.int64())}), "2017-01-01")
    assert table.read_kept("2017-01-01", lambda rows: rows).to_pydict() == {"number": []}


def test_a_missing_partition_is_named(table):
    table.write(pa.table({"item_id": ["a"]}), "2017-01-01")

    with pytest.raises(MissingPartition, match="partition 2017-01-02 of table 'events'"):
        table.read(["2017-01-01", "2017-01-02"])


def test_no_partition_asked_for_is_an_error(table):
    with pytest.raises(ValueError, match="no day was asked for"):
        table.read([])


def test_a_failed_write_leaves_the_old_partition(table, monkeypatch):
    table.write(pa.table({"item_id": ["a"]}), "2017-01-01")
    monkeypatch.setattr("os.fsync", _disk_is_full)

    with pytest.raises(OSError, match="No space left"):
        table.write(pa.table({"item_id": ["b"]}), "2017-01-01")

    assert table.days() == ["2017-01-01"]
    assert table.read(["2017-01-01"])["item_id"].to_pylist() == ["a"]


def _disk_is_full(_descriptor):
    raise OSError("No space left on device")


def test_a_folder_may_have_spaces_and_umlauts(tmp_path):
    folder = tmp_path / "my läden"
    table = Store(folder.as_uri()).table("events")

    table.write(pa.table({"item_id": ["a"]}))

    assert table.read()["item_id"].to_pylist() == ["a"]
    assert (folder / "tables/events/data.parquet").exists()


def test_rows_are_counted_over_days(table):
    table.write(pa.table({"item_id": ["a", "b"]}), "2017-01-01")
    table.write(pa.table({"item_id": ["c"]}), "2017-01-02")

    assert table.row_count(["2017-01-01", "2017-01-02"]) == 3
    with pytest.raises(MissingPartition, match="2017-01-03"):
        table.row_count(["2017-01-03"])


def test_a_version_tells_whether_a_day_was_replaced(table):
    for day in ("2017-01-01", "2017-01-02"):
        table.write(pa.table({"item_id": ["a"]}), day)
    before = table.versions()
    table.write(pa.table({"item_id": ["b"]}), "2017-01-02")

    after = table.versions()

    assert list(before) == table.days()
    assert before["2017-01-01"] == after["2017-01-01"]
    assert before["2017-01-02"] != after["2017-01-02"]
