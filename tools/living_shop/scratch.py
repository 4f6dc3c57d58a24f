"""`python -m tools.living_shop.scratch LIVED FILE`: a lived shop's days computed anew, compared.

Features, labels and online values of every day that the storage at the URL LIVED holds are made
in one run from the files as they finally are, in a home of their own (RECSYS_HOME); so is what
became of its answers, which nobody can give once more. What a day holds there and here is compared
row by row, and what the online store holds value by value.
"""

import json
import sys
from pathlib import Path

import dagster as dg
import polars as pl

from recsys_assets.definitions import build_definitions
from recsys_assets.defs.graph.jobs import daily_loop
from recsys_assets.defs.runs.instance import open_instance
from recsys_assets.defs.runs.narrated_run import run_narrated
from recsys_assets.features.parity import Parity, sampled_parity
from recsys_assets.monitoring import outcomes, request_log
from recsys_assets.settings import Settings, load_settings
from recsys_assets.storage import Store
from recsys_assets.terminal.screen import Screen

# Features, and the labels that models learn from.
_MADE = ("interactions", "item_first_sold", "user_features", "item_features", "daily_examples")
TABLES = (*_MADE, outcomes.TABLE)
_NAMED = 5
_ALL = 1_000_000_000


def compute(settings: Settings, days: list[str], screen: Screen) -> None:
    """Makes the tables of the days, and all that they are made from.

    Raises:
        RunFailed: a step has failed.
    """
    definitions = build_definitions(settings)
    job = definitions.resolve_job_def(daily_loop.name)
    made_of = dg.AssetSelection.assets(*_MADE).upstream().required_multi_asset_neighbors()
    wanted = made_of.resolve(definitions.resolve_asset_graph())
    selected = sorted(wanted & set(job.asset_layer.selected_asset_keys))
    with open_instance(settings) as instance:
        run_narrated(settings, instance, job, selected, days, screen)


def judge_answers(lived: Store, scratch: Store, attribution_hours: int) -> None:
    """Makes outcomes anew: of the answers that were given, by the events from scratch.

    Raises:
        MissingPartition: a day of the events, or of the answers, is not there.
    """
    log = lived.table(request_log.TABLE)
    for day in log.days():
        scratch.table(log.name).write(log.read([day]), day)
    for day in lived.table(outcomes.TABLE).days():
        rows = outcomes.outcomes(scratch, day, attribution_hours)
        scratch.table(outcomes.TABLE).write(rows, day)


def compare_tables(lived: Store, scratch: Store, days: list[str]) -> Parity:
    """Rows of all tables' days: those that only one of the two has are different.

    Of a table that the shop has begun with later, from its first day on.

    Raises:
        MissingPartition: a later day of a table has not been made.
    """
    total = Parity()
    for name in TABLES:
        first = lived.table(name).days()[0]
        for day in (one for one in days if one >= first):
            ours, anew = (pl.DataFrame(store.table(name).read([day])) for store in (lived, scratch))
            total.compared += max(ours.height, anew.height)
            only = _only_in(ours, anew), _only_in(anew, ours)
            total.different += max(rows.height for rows in only)
            for where, rows in zip(("lived", "from scratch"), only, strict=True):
                total.examples += [f"{name} {day}, {where}: {row}" for row in rows.head(1).rows()]
    return total


def compare_online(settings: Settings) -> Parity:
    """What the online store holds of everybody, against the tables made from scratch."""
    from recsys_assets.features.attributes import user_columns
    from recsys_assets.features.feature_store import open_feature_store
    from recsys_assets.features.online import complete_through, connect
    from recsys_assets.features.reader import OnlineUserFeatures

    store = Store(settings.storage_url)
    with connect(settings.online_store_url) as client:
        through = complete_through(client)
        if through is None:
            raise ValueError("the online store is complete through no moment: no day was lived")
        reader = OnlineUserFeatures(client, user_columns(store))
        return sampled_parity(open_feature_store(settings), reader, store, through, _ALL)


def _only_in(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Rows that are more often among the first than among the others."""
    columns = rows.columns
    if columns != others.columns:
        return rows
    counted, other = (one.group_by(columns).len("copies") for one in (rows, others))
    both = counted.join(other, on=columns, how="left", nulls_equal=True, suffix="_other")
    missing = pl.col("copies_other").fill_null(0) < pl.col("copies")
    return both.filter(missing).select(columns)


def main() -> None:
    """Writes `compared`, `different` and some differences to FILE."""
    url, file = sys.argv[1:]
    settings, lived = load_settings(), Store(url)
    days = lived.table("user_features").days()
    with Screen(sys.stdout) as screen:
        compute(settings, days, screen)
    scratch = Store(settings.storage_url)
    judge_answers(lived, scratch, settings.attribution_hours)
    parts = compare_tables(lived, scratch, days), compare_online(settings)
    found = {
        "compared": sum(part.compared for part in parts),
        "different": sum(part.different for part in parts),
        "days": len(days),
        "examples": [line for part in parts for line in part.examples[:_NAMED]],
    }
    Path(file).write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
