"""Partitions of the graph: one per event day, in UTC."""

from datetime import timedelta

import dagster as dg

from recsys_assets.settings import Settings, load_settings


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Event days of the source; open-ended where the source goes on."""
    last_day = settings.last_day
    return dg.DailyPartitionsDefinition(
        start_date=settings.first_day.isoformat(),
        end_date=(last_day + timedelta(days=1)).isoformat() if last_day else None,
        timezone="UTC",
    )


daily = daily_partitions(load_settings())
