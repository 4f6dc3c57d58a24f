"""The contract of the input tables: columns, types, what is required, what is allowed.

What belongs here: everything a shop must know to deliver its data, and the check of a delivered
file against it. What does not: the check of single rows, which is `validation.py`, and how a
particular source gets its rows, which is `sources/`.

Ids are told apart by `distinct`: `np.unique` sorts strings as fixed-width text: every row takes
four bytes for each character of the longest one, and NULs at an end are lost, so that two ids
become one.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

EVENTS = ("view", "click", "add_to_cart", "purchase")
MAX_ID_BYTES = 512
"""Longest id, in bytes of UTF-8: ids are keys of the online store, of vocabularies and filters.

An id holds no NUL either: C strings and fixed-width arrays, which end there, would make one id of
two.
"""
MAX_MONEY = 1e11
"""Largest price, and largest price times quantity: sums of them in whole ten-thousandths, over a
window and an entity, stay within 64 bits."""
LATE_DAYS = 3
"""How many days after it happened an event may be delivered and still join its own day."""
# What a source adds to each row of interactions.
SOURCE_FILE = "source_file"
DELIVERED_DAY = "delivered_day"
TIMESTAMP = pa.timestamp("us", tz="UTC")
_PER_COARSE_TICK = {"s": 1_000_000, "ms": 1_000}


class BrokenInput(ValueError):
    """A delivered file that cannot be used at all; it stops the partition it belongs to."""

    def __init__(self, file: str, column: str | None, reason: str, remedy: str) -> None:
        where = f"{file}, column {column!r}" if column else file
        super().__init__(f"{where}: {reason}. Remedy: {remedy}")
        self.file = file
        self.column = column
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True)
class Column:
    """One column: an optional one may be absent from a file, and is null then."""

    name: str
    type: pa.DataType
    description: str
    required: bool = False


@dataclass(frozen=True)
class Contract:
    """The columns of one input table.

    `extra` says what further columns a delivered file may bring: none, "text" (categorical
    attributes, strings) or "any" (strings and numbers).
    """

    table: str
    columns: tuple[Column, ...]
    extra: str = "none"

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the declared columns, in their order."""
        return pa.schema([(column.name, column.type) for column in self.columns])

    @property
    def names(self) -> list[str]:
        """Names of the declared columns, in their order."""
        return [column.name for column in self.columns]

    @property
    def required_names(self) -> list[str]:
        """Names of the columns that a file must have."""
        return [column.name for column in self.columns if column.required]

    def check(self, delivered: pa.Schema, file: str) -> None:
        """Checks a file's schema before its rows are read.

        Raises:
            BrokenInput: a required column is missing, a column's type cannot be used, or two
                columns have one name, upper and lower case being the same to Spark and DuckDB.
        """
        extra = self.extra_names(delivered)
        carried = [name for name in delivered.names if name in self.names or name in extra]
        _check_names(carried, self.names, file)
        for column in self.columns:
            if column.name in delivered.names:
                _check_type(column, delivered.field(column.name).type, file)
            elif column.required:
                raise BrokenInput(
                    file,
                    column.name,
                    "the column is missing",
                    f"deliver it as {column.type}; the file has {', '.join(delivered.names)}",
                )
        for name in extra:
            _check_extra(self.extra, delivered.field(name), file)

    def extra_names(self, delivered: pa.Schema) -> list[str]:
        """Columns beyond the declared ones that are carried along, in the file's order."""
        if self.extra == "none":
            return []
        return [name for name in delivered.names if name not in self.names]

    def conform(self, rows: pa.Table, file: str) -> pa.Table:
        """The declared columns in the contract's types and order, then the extra ones.

        Timestamps without a time zone are taken as UTC; optional columns that the file lacks
        are null, and so is text that is blank, unless the column is required.

        Raises:
            BrokenInput: as `check`, or a value does not fit the column's type.
        """
        self.check(rows.schema, file)
        extra = [
            Column(name, _extra_type(rows.schema.field(name).type), "")
            for name in self.extra_names(rows.schema)
        ]
        return pa.table(
            {column.name: _conform(column, rows, file) for column in (*self.columns, *extra)}
        )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _fits(wanted: pa.DataType, delivered: pa.DataType) -> bool:
    if pa.types.is_null(delivered):
        return True
    if pa.types.is_timestamp(wanted):
        return pa.types.is_timestamp(delivered)
    if pa.types.is_integer(wanted):
        # Pandas makes a column of whole numbers with gaps floating point; fractions fail later.
        return pa.types.is_integer(delivered) or pa.types.is_floating(delivered)
    if pa.types.is_floating(wanted):
        return (
            pa.types.is_integer(delivered)
            or pa.types.is_floating(delivered)
            or pa.types.is_decimal(delivered)
        )
    return _is_text(delivered)


def _check_names(carried: list[str], declared: list[str], file: str) -> None:
    counts = Counter(name.lower() for name in carried)
    for name in carried:
        if counts[name.lower()] > 1 or (name.lower() in declared and name not in declared):
            raise BrokenInput(
                file,
                name,
                "another column has that name; upper and lower case make no other one",
                "give it a name of its own, or leave it out",
            )


def _check_type(column: Column, delivered: pa.DataType, file: str) -> None:
    if not _fits(column.type, delivered):
        raise BrokenInput(
            file, column.name, f"its type is {delivered}", f"write the column as {column.type}"
        )


def _check_extra(extra: str, field: pa.Field, file: str) -> None:
    number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    if _is_text(field.type) or pa.types.is_null(field.type) or (extra == "any" and number):
        return
    wanted = "string" if extra == "text" else "string, integer or floating point"
    raise BrokenInput(
        file, field.name, f"its type is {field.type}", f"write it as {wanted}, or leave it out"
    )


def _extra_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_integer(kind):
        return pa.int64()
    return pa.float64() if pa.types.is_floating(kind) else pa.string()


def _conform(column: Column, rows: pa.Table, file: str) -> pa.ChunkedArray:
    if column.name not in rows.schema.names:
        return pa.chunked_array([pa.nulls(rows.num_rows, column.type)])
    values = rows.column(column.name)
    if pa.types.is_timestamp(values.type):
        return _microseconds(values)
    try:  # a value that does not fit, and a cast that pyarrow lacks, are both the file's
        values = values.cast(column.type)
        values.validate(full=True)  # text is UTF-8
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BrokenInput(
            file, column.name, str(error), f"write the column as {column.type}"
        ) from error
    if column.required or not pa.types.is_string(column.type):
        return values
    blank = pc.equal(pc.utf8_trim_whitespace(values), "")
    return pc.if_else(blank, pa.scalar(None, column.type), values)


def _microseconds(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """UTC microseconds; finer times are cut, times beyond their range become its end."""
    ticks = times.cast(pa.int64())
    unit = times.type.unit
    if unit == "ns":
        ticks = times.cast(pa.timestamp("us", times.type.tz), safe=False).cast(pa.int64())
    elif unit in _PER_COARSE_TICK:
        factor = _PER_COARSE_TICK[unit]
        limit = (2**63 - 1) // factor
        held = pc.min_element_wise(ticks, limit, skip_nulls=False)
        ticks = pc.multiply(pc.max_element_wise(held, -limit, skip_nulls=False), factor)
    return ticks.cast(TIMESTAMP)


INTERACTIONS = Contract(
    "interactions",
    (
        Column("user_id", pa.string(), "Who acted; at most 512 bytes.", required=True),
        Column("item_id", pa.string(), "An id of the items table.", required=True),
        Column("timestamp", TIMESTAMP, "When, in UTC; without a zone taken as UTC.", required=True),
        Column("event", pa.string(), f"One of {', '.join(EVENTS)}.", required=True),
        Column("session_id", pa.string(), "Visit or basket."),
        Column("quantity", pa.int64(), "Units; at least 1 for a purchase, where known."),
        Column("price", pa.float64(), "Shelf price of one unit, before discounts."),
        Column("discount", pa.float64(), "Money off per unit, from 0 to the price."),
        Column("device", pa.string(), "What the user acted on."),
        Column("store_id", pa.string(), "Which shop."),
    ),
)


ITEMS = Contract(
    "items",
    (
        Column("item_id", pa.string(), "Unique; at most 512 bytes.", required=True),
        Column("text", pa.string(), "What a shopper reads; empty if unknown.", required=True),
        Column("category_l1", pa.string(), "Widest category."),
        Column("category_l2", pa.string(), "Category within category_l1."),
        Column("category_l3", pa.string(), "Category within category_l2."),
        Column("brand", pa.string(), "Brand, or kind of brand."),
        Column("price", pa.float64(), "List price; what was charged comes with the interactions."),
        Column(
            "image",
            pa.string(),
            "Path of a picture below the folder of the delivery; empty if none.",
        ),
    ),
    extra="any",
)


_CATEGORIES = ("category_l1", "category_l2", "category_l3", "brand")
WITHDRAWN_ITEMS = Contract(
    "withdrawn_items",
    (
        Column("item_id", pa.string(), "Sold once, and in no catalogue since.", required=True),
        *(Column(name, pa.string(), "As in `items`.") for name in _CATEGORIES),
    ),
)


# Not delivered: it grows with each catalogue. Texts and prices change often, and no past day reads
# them.
CATALOGUE_HISTORY = Contract(
    "catalogue_history",
    (
        Column("item_id", pa.string(), "Item", required=True),
        Column("seen_from", pa.date32(), "Day on which it was first seen so", required=True),
        *(Column(name, pa.string(), "As in `items` of that day.") for name in _CATEGORIES),
    ),
)


USERS = Contract(
    "users",
    (Column("user_id", pa.string(), "Unique; at most 512 bytes.", required=True),),
    extra="text",
)


PROMOTIONS = Contract(
    "promotions",
    (
        Column("item_id", pa.string(), "The promoted item.", required=True),
        Column("valid_from", TIMESTAMP, "First moment of the promotion, UTC.", required=True),
        Column("valid_to", TIMESTAMP, "First moment after it, UTC.", required=True),
        Column("display", pa.float64(), "Share of stores that display it, 0 to 1."),
        Column("mailer", pa.float64(), "Share of stores with it in the mailer, 0 to 1."),
    ),
)


QUARANTINED_INTERACTIONS = Contract(
    "quarantined_interactions",
    (
        *(Column(column.name, pa.string(), column.description) for column in INTERACTIONS.columns),
        Column("reason", pa.string(), "All that is wrong with the row, comma-separated."),
        Column("source_file", pa.string(), "The delivered file that holds the row."),
    ),
)


QUARANTINED_ROWS = Contract(
    "quarantined_rows",
    (
        Column("id", pa.string(), "The row's id, as far as it has one."),
        Column("reason", pa.string(), "All that is wrong with the row, comma-separated."),
        Column("row", pa.string(), "The row as JSON."),
    ),
)


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different strings of an object array [n], and which of them each one is.

    Returns:
        Object [m] in the order of their code points, and int64 [n], places in it.
    """
    strings = values.tolist()
    names = sorted(set(strings))
    place = {name: number for number, name in enumerate(names)}
    numbers = np.fromiter((place[one] for one in strings), np.int64, len(strings))
    return np.array(names, dtype=object), numbers
