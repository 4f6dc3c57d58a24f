"""What every source offers."""

from collections.abc import Collection
from datetime import date
from typing import Protocol

import polars as pl
import pyarrow as pa

DELIVERED_DAY = "delivered_day"
SOURCE_FILE = "source_file"


class Source(Protocol):
    """A shop's data as delivered, in the contract's columns and types, not yet validated.

    `first_day` and `last_day` are those of the recording, None where it is open.
    """

    name: str
    first_day: date | None
    last_day: date | None

    @property
    def user_attributes(self) -> tuple[str, ...]:
        """Names of the categorical attributes of a user."""

    def interactions(self, days: Collection[date]) -> pl.DataFrame:
        """Rows that concern the given UTC event days; more rows may come along.

        Columns: those of the contract, `source_file`, and `delivered_day`: the day that a row
        was delivered for, which is where it is quarantined if its own time cannot be used. Null
        where the source does not say.

        Raises:
            BrokenInput: a file cannot be read or does not keep the contract.
        """

    def items(self) -> pa.Table:
        """The catalogue."""

    def users(self) -> pa.Table:
        """Users with attributes; users who interact need not be here."""

    def promotions(self) -> pa.Table:
        """Planned promotions; no rows where the source has none."""
