from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.events.contract import INTERACTIONS, ITEMS, TIMESTAMP, USERS, BrokenInput

REQUIRED = pa.table(
    {
        "user_id": ["ann"],
        "item_id": ["tea"],
        "timestamp": pa.array([datetime(2024, 5, 2, 9)], pa.timestamp("us")),
        "event": ["view"],
    }
)


def with_column(name: str, values: pa.Array) -> pa.Table:
    kept = REQUIRED.drop_columns([name]) if name in REQUIRED.column_names else REQUIRED
    return kept.append_column(name, values)


def test_optional_columns_may_be_absent_and_are_null():
    rows = INTERACTIONS.conform(REQUIRED, "f.parquet")

    assert rows.schema.equals(INTERACTIONS.schema)
    assert rows.column("price").null_count == 1


@pytest.mark.parametrize("column", INTERACTIONS.required_names)
def test_a_missing_required_column_is_named_with_file_and_remedy(column):
    with pytest.raises(BrokenInput, match=f"f.parquet, column '{column}': .*missing.*Remedy"):
        INTERACTIONS.conform(REQUIRED.drop_columns([column]), "f.parquet")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("user_id", pa.array([7])),
        ("timestamp", pa.array(["2024-05-02"])),
        ("price", pa.array(["3.50"])),
        ("quantity", pa.array(["2"])),
        ("event", pa.array([True])),
    ],
)
def test_a_wrong_type_is_named_with_file_and_remedy(column, values):
    with pytest.raises(BrokenInput, match=f"f.parquet, column '{column}': its type is .*Remedy"):
        INTERACTIONS.conform(with_column(column, values), "f.parquet")


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["ann"], pa.large_string()),
        pa.array(["ann"]).dictionary_encode(),
        pa.array(["ann"], pa.string_view()),
    ],
)
def test_every_kind_of_text_is_text(values):
    rows = INTERACTIONS.conform(with_column("user_id", values), "f.parquet")

    assert rows.column("user_id").to_pylist() == ["ann"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.timestamp("ns"), datetime(2024, 5, 2, 9, tzinfo=UTC)),
        (pa.timestamp("s"), datetime(2024, 5, 2, 9, tzinfo=UTC)),
        (pa.timestamp("ms", "UTC"), datetime(2024, 5, 2, 9, tzinfo=UTC)),
        # 09:00 UTC whatever zone it is shown in.
        (pa.timestamp("us", "America/New_York"), datetime(2024, 5, 2, 9, tzinfo=UTC)),
    ],
)
def test_times_become_utc_and_naive_ones_are_taken_as_utc(kind, expected):
    ticks = pa.array([datetime(2024, 5, 2, 9)], pa.timestamp(kind.unit)).cast(pa.int64())

    rows = INTERACTIONS.conform(with_column("timestamp", ticks.cast(kind)), "f.parquet")

    assert rows.schema.field("timestamp").type == TIMESTAMP
    assert rows.column("timestamp").to_pylist() == [expected]


def test_a_time_beyond_microseconds_stays_in_the_far_future():
    far = pa.array([10**16], pa.int64()).cast(pa.timestamp("s"))

    rows = INTERACTIONS.conform(with_column("timestamp", far), "f.parquet")

    assert rows.column("timestamp").cast(pa.int64())[0].as_py() > 2**62


def test_extra_columns_of_items_are_kept_and_those_of_interactions_are_not():
    items = pa.table({"item_id": ["a"], "text": ["A"], "colour": ["red"], "weight": [3]})

    assert ITEMS.conform(items, "items.parquet").column_names[-2:] == ["colour", "weight"]
    assert "x" not in INTERACTIONS.conform(with_column("x", pa.array([1])), "f").column_names


def test_text_in_a_form_that_cannot_be_converted_is_named_with_file_and_remedy():
    """pyarrow has no cast of a dictionary of string views."""
    users = pa.DictionaryArray.from_arrays(
        pa.array([0], pa.int8()), pa.array(["ann"], pa.string_view())
    )

    with pytest.raises(
        BrokenInput, match=r"f\.parquet, column 'user_id': .*Remedy: write .* string"
    ):
        INTERACTIONS.conform(with_column("user_id", users), "f.parquet")


def test_whole_numbers_may_come_as_floating_point_and_fractions_may_not():
    whole = INTERACTIONS.conform(with_column("quantity", pa.array([2.0])), "f.parquet")

    assert whole.column("quantity").to_pylist() == [2]
    with pytest.raises(BrokenInput, match=r"f\.parquet, column 'quantity': .*1\.5.*Remedy"):
        INTERACTIONS.conform(with_column("quantity", pa.array([1.5])), "f.parquet")


def test_an_attribute_of_users_must_be_text():
    with pytest.raises(BrokenInput, match=r"users\.parquet, column 'age': its type is int64"):
        USERS.conform(pa.table({"user_id": ["ann"], "age": [31]}), "users.parquet")


def test_text_that_is_blank_is_missing_where_it_may_be():
    blank = pa.array([" \t"])
    rows = INTERACTIONS.conform(
        with_column("user_id", blank).append_column("session_id", blank), "f.parquet"
    )

    assert rows.column("session_id").to_pylist() == [None]
    assert rows.column("user_id").to_pylist() == [" \t"]  # a fault of the row, to be quarantined


def test_text_that_is_not_utf_8_is_named_with_file_and_column():
    offsets, data = pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xc3\x28")
    broken = pa.Array.from_buffers(pa.string(), 1, [None, offsets, data])

    with pytest.raises(BrokenInput, match=r"f\.parquet, column 'user_id': .*UTF8.*Remedy"):
        INTERACTIONS.conform(with_column("user_id", broken), "f.parquet")


@pytest.mark.parametrize("names", [("colour", "colour"), ("colour", "Colour"), ("text", "Text")])
def test_two_columns_of_one_name_are_named_with_file(names):
    delivered = pa.table([["a"], ["A"], ["red"]], names=["item_id", *names])

    with pytest.raises(BrokenInput, match=r"items\.parquet, column '\w+': another column has"):
        ITEMS.check(delivered.schema, "items.parquet")


def test_a_column_spelled_otherwise_than_the_contract_does_is_named():
    delivered = pa.schema(
        [("item_id", pa.string()), ("text", pa.string()), ("Price", pa.float64())]
    )

    with pytest.raises(BrokenInput, match=r"items\.parquet, column 'Price'"):
        ITEMS.check(delivered, "items.parquet")


def test_columns_of_interactions_that_are_not_carried_along_may_be_called_anything():
    delivered = pa.table(
        [*REQUIRED.columns, [1], [2]], names=[*REQUIRED.column_names, "reason", "reason"]
    )

    assert INTERACTIONS.conform(delivered, "f.parquet").column_names == INTERACTIONS.names


def test_a_number_that_no_column_holds_is_named_with_file_and_column():
    size = pa.array([2**63 + 5], pa.uint64())
    items = pa.table({"item_id": ["a"], "text": ["A"], "size": size})

    with pytest.raises(BrokenInput, match=r"items\.parquet, column 'size': .*Remedy"):
        ITEMS.conform(items, "items.parquet")
