"""What every source offers."""

from collections.abc import Collection
from datetime import date
from typing import Protocol

import polars as pl
import pyarrow as pa


class Source(Protocol):
    """A shop's data as delivered, in the contract's columns and types, not yet validated.

    `last_day` is None where days go on.
    """

    name: str

    @property
    def first_day(self) -> date:
        """The first day with events."""

    @property
    def last_day(self) -> date | None:
        """The last day with events."""

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

    def withdrawn_items(self) -> pa.Table:
        """Products that history names and the first catalogue lacks; often no rows."""

    def users(self) -> pa.Table:
        """Users with attributes; users who interact need not be here."""

    def promotions(self) -> pa.Table:
        """Planned promotions; no rows where the source has none."""
