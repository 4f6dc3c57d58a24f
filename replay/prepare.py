"""What a replay needs before its first day: a served release, and the recorded days' features.

Events and features of the whole period are computed in one run, in one Spark session: they are
the same day by day, and three Spark jobs a day would be most of the replay's time. Nothing reads
a day before it is closed.
"""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from recsys_assets.definitions import build_definitions
from recsys_assets.defs.graph.jobs import daily_loop
from recsys_assets.defs.runs.narrated_run import RunFailed, run_narrated
from recsys_assets.settings import Settings
from recsys_assets.settings.days import days_between
from recsys_assets.storage import Store
from recsys_assets.terminal.screen import Screen

FEATURES = (
    "interactions",
    "quarantined_interactions",
    "item_first_sold",
    "user_features",
    "item_features",
)
_EXAMPLES = ("daily_examples",)


class NotPrepared(RuntimeError):
    """The replay cannot begin; the message says why and what to do."""


def prepare(
    settings: Settings,
    instance: dg.DagsterInstance,
    first_day: date,
    last_day: date,
    screen: Screen,
    groups: Sequence[Sequence[str]] = (FEATURES, _EXAMPLES),
) -> None:
    """Makes events and features of the days from `first_day` to `last_day` that are missing.

    Args:
        settings: of the deployment.
        instance: of its runs.
        first_day: of the days that are asked for.
        last_day: likewise.
        screen: shows what is done.
        groups: tables to make, each group in a run of its own, of the days that lack one of its
            tables: what the demo has made of the first days stays as it is.

    Raises:
        NotPrepared: a run failed.
    """
    store, days = Store(settings.storage_url), days_between(first_day, last_day)
    for tables in groups:
        missing = _missing(store, tables, days)
        if missing:
            job = build_definitions(settings).resolve_job_def(daily_loop.name)
            keys = [dg.AssetKey(name) for name in tables]
            try:
                run_narrated(settings, instance, job, keys, missing, screen)
            except RunFailed as error:
                raise NotPrepared(
                    f"events and features of {missing[0]} to {missing[-1]} could not be made:\n"
                    f"{error}"
                ) from None


def _missing(store: Store, tables: Sequence[str], days: Sequence[str]) -> list[str]:
    """The unbroken range of days from the first that lacks a table on."""
    for position, day in enumerate(days):
        if not all(store.table(name).has(day) for name in tables):
            return list(days[position:])
    return []
