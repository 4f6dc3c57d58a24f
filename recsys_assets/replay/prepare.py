"""What a replay needs before its first day: a served release, and the recorded days' features.

Events and features of the whole period are computed in one run, in one Spark session: they are
the same day by day, and three Spark jobs a day would be most of the replay's time. Nothing reads
a day before it is closed.
"""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from recsys_assets.definitions import build_definitions, daily_loop
from recsys_assets.features.backfill import days_between
from recsys_assets.instance import process_tag, run_tags
from recsys_assets.settings import Settings
from recsys_assets.storage import Store

# Each group in a run of its own, of the days that lack one of its tables: what the demo has made
# of the first days stays as it is.
_RECORDED = (
    (
        "interactions",
        "quarantined_interactions",
        "item_first_sold",
        "user_features",
        "item_features",
    ),
    ("daily_examples",),
)


class NotPrepared(RuntimeError):
    """The replay cannot begin; the message says why and what to do."""


def prepare(
    settings: Settings, instance: dg.DagsterInstance, first_day: date, last_day: date
) -> None:
    """Makes events and features of the days from `first_day` to `last_day` that are missing.

    Raises:
        NotPrepared: a run failed.
    """
    store, days = Store(settings.storage_url), days_between(first_day, last_day)
    for tables in _RECORDED:
        missing = _missing(store, tables, days)
        if missing:
            _materialize(settings, instance, tables, missing)


def _materialize(
    settings: Settings, instance: dg.DagsterInstance, tables: Sequence[str], days: Sequence[str]
) -> None:
    job = build_definitions(settings).resolve_job_def(daily_loop.name)
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in tables],
        raise_on_error=False,
        run_config={"loggers": {"console": {}}},
        tags={
            **run_tags(settings),
            **process_tag(),
            "dagster/asset_partition_range_start": days[0],
            "dagster/asset_partition_range_end": days[-1],
        },
    )
    if not result.success:
        raise NotPrepared(
            f"events and features of {days[0]} to {days[-1]} could not be made: run "
            f"{result.run_id} says why"
        )


def _missing(store: Store, tables: Sequence[str], days: Sequence[str]) -> list[str]:
    """The unbroken range of days from the first that lacks a table on."""
    for position, day in enumerate(days):
        if not all(store.table(name).has(day) for name in tables):
            return list(days[position:])
    return []
