"""What recordings share, above all those that are read from their publisher's text files.

A record is a line, its fields stand between separators and are not quoted. Every field is read as
text, so that a value that is none becomes a quarantined row and no guess of a type. A file may be
larger than memory: it is scanned, and what concerns the days asked for is held.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import (
    DELIVERED_DAY,
    INTERACTIONS,
    LATE_DAYS,
    PROMOTIONS,
    SOURCE_FILE,
    USERS,
    WITHDRAWN_ITEMS,
    BrokenInput,
)

VISITOR = "session-{}"
"""Who acted where there is no account: the visitor of a session, told from accounts by the name."""
ACCOUNT = "account"
"""The one attribute of users: `yes` where they have an account, missing for visitors."""
_SHOWN_CHARACTERS = 80
_LONGEST_LINE = 1 << 16


class Recording:
    """What a recording answers of a shop that goes on."""

    def withdrawn_items(self) -> pa.Table:
        """None: the catalogue is that of all time."""
        return WITHDRAWN_ITEMS.schema.empty_table()

    def promotions(self) -> pa.Table:
        """None, where no plan was published."""
        return PROMOTIONS.schema.empty_table()


@dataclass(frozen=True)
class PublishedFile:
    """One text file as its publisher ships it; every field of it is text, an empty one is null.

    Attributes:
        path: where it is.
        columns: its fields by their published names; those of a file without a header are all of
            them, in their order.
        separator: what stands between fields.
        first_line: a pattern of the first line of a file without a header; None where it has one.
            Its names may be written with underscores, as some copies have them.
        missing: what the file writes for no value, beside nothing.
        remedy: what to do if it cannot be read.
    """

    path: Path
    columns: tuple[str, ...]
    separator: str
    remedy: str
    first_line: str | None = None
    missing: str | None = None

    def scan(self) -> pl.LazyFrame:
        """All records; one with too few fields has nulls.

        Raises:
            BrokenInput: the file is not there or empty, or its first line is not as published.
        """
        names = self._names(self._first_line())
        lines = pl.scan_csv(
            self.path,
            separator=self.separator,
            has_header=self.first_line is None,
            schema=dict.fromkeys(names, pl.String),
            quote_char=None,
            null_values=self.missing,
        )
        return lines.rename(names).select(self.columns)

    def collect(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """What was made of the records.

        Raises:
            BrokenInput: a record has too many fields, is not UTF-8, or has a number that is none.
        """
        try:
            return rows.collect(engine="streaming")
        except (pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError) as error:
            raise self._broken(str(error).split("\n\n")[0]) from error

    def _names(self, line: str) -> dict[str, str]:
        """The file's fields in their order, each with its published name."""
        if self.first_line is not None:
            if re.fullmatch(self.first_line, line) is None:
                expected = self.separator.join(self.columns)
                raise self._broken(
                    f"its first line is {line[:_SHOWN_CHARACTERS]!r}, where {expected} are expected"
                    " without a header"
                )
            return {column: column for column in self.columns}
        columns = {_plain(column): column for column in self.columns}
        names = {name: columns.get(_plain(name), name) for name in line.split(self.separator)}
        for column in self.columns:
            if column not in names.values():
                there = ", ".join(names)
                raise self._broken(f"the column is missing, the file has {there}", column)
        return names

    def _first_line(self) -> str:
        if not self.path.is_file():
            raise self._broken("there is no such file")
        with self.path.open("rb") as file:
            line = file.readline(_LONGEST_LINE)
        if not line.strip():
            raise self._broken("it is empty, or its first line is")
        return line.decode("utf-8-sig", errors="replace").rstrip("\r\n")

    def _broken(self, reason: str, column: str | None = None) -> BrokenInput:
        return BrokenInput(str(self.path), column, reason, self.remedy)


@dataclass(frozen=True)
class RecordedDays:
    """The days of a recording, by which rows are picked and placed.

    A row with a date that is none, or beyond the recording, was still delivered: it is placed on
    the first day that is too late for any event of before, and quarantined there.
    """

    first: date
    last: date

    @property
    def placed(self) -> date:
        """Where rows are quarantined that have no day of their own."""
        return self.first + timedelta(days=LATE_DAYS)

    def concern(self, written: pl.Expr, days: Collection[date]) -> pl.Expr:
        """Whether a row concerns the days.

        Args:
            written: a row's date as the file has it, YYYY-MM-DD; compared as text, since a file
                has a hundred times the rows of a day.
            days: those asked for.
        """
        of_days = written.is_in([day.isoformat() for day in days])
        return of_days | ~self._recorded(written) if self.placed in days else of_days

    def delivered(self, written: pl.Expr) -> pl.Expr:
        """The day on which a row counts as delivered, by its written date."""
        day = written.str.to_date("%Y-%m-%d", strict=False)
        return pl.when(self._recorded(written)).then(day).otherwise(pl.lit(self.placed))

    def _recorded(self, written: pl.Expr) -> pl.Expr:
        count = (self.last - self.first).days + 1
        days = [(self.first + timedelta(days=day)).isoformat() for day in range(count)]
        return written.is_in(days).fill_null(False)


def as_interactions(rows: pl.DataFrame, file: PublishedFile) -> pl.DataFrame:
    """Rows in the columns and types of the contract, with their file and day of delivery.

    Args:
        rows: columns of `interactions` as far as they are known, and `delivered_day`.
        file: what they were read from.
    """
    whole = INTERACTIONS.conform(rows.to_arrow(), str(file.path))
    return pl.DataFrame(pl.from_arrow(whole)).with_columns(
        pl.lit(file.path.name).alias(SOURCE_FILE), rows[DELIVERED_DAY]
    )


def accounts(user_ids: Sequence[str]) -> pa.Table:
    """The table of users where nothing is known of them but that they have an account."""
    ids = pa.array(user_ids, pa.string())
    rows = pa.table({"user_id": ids, ACCOUNT: pa.repeat("yes", len(ids))})
    return USERS.conform(rows, "users")


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
