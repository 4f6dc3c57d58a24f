"""Partitions of the graph: one per event day, in UTC; and which days a day is made from."""

from datetime import timedelta

import dagster as dg

from recsys_assets.settings import Settings, load_settings

_ALL_OF_HISTORY = 36_500  # days: a hundred years


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Event days of the source; open-ended where the source goes on."""
    last_day = settings.last_day
    return dg.DailyPartitionsDefinition(
        start_date=settings.first_day.isoformat(),
        end_date=(last_day + timedelta(days=1)).isoformat() if last_day else None,
        timezone="UTC",
    )


def days_of(asset: str, first: int, last: int = 0) -> dg.AssetDep:
    """What a day reads of a daily asset: from `first` to `last` days before it, both included.

    Days before the asset's first are none.
    """
    mapping = dg.TimeWindowPartitionMapping(
        start_offset=-first, end_offset=-last, allow_nonexistent_upstream_partitions=True
    )
    return dg.AssetDep(asset, partition_mapping=mapping)


def all_days_of(asset: str, last: int = 0) -> dg.AssetDep:
    """Likewise, but from the first day of history on."""
    return days_of(asset, _ALL_OF_HISTORY, last)


daily = daily_partitions(load_settings())
