"""What a day reads of others is what it declares, by the graph."""

from datetime import date, timedelta

import dagster as dg
import pytest

from recsys_assets.definitions import defs
from recsys_assets.defs.partitions import daily
from recsys_assets.features.declarations import ITEM_FEATURES, USER_FEATURES
from recsys_assets.monitoring.outcomes import days_judged
from recsys_assets.monitoring.thresholds import BusinessThresholds

GRAPH = defs.resolve_asset_graph()
DAY = date(2017, 10, 1)
FIRST = date.fromisoformat(daily.get_first_partition_key())
BEGINNING = (DAY - FIRST).days
HISTORY = BusinessThresholds().history_days


def days_read(asset, upstream, day=DAY):
    """The partitions of `upstream` that a day of an asset depends on."""
    parent, child = dg.AssetKey(upstream), dg.AssetKey(asset)
    mapping = GRAPH.get_partition_mapping(child, parent)
    subset = daily.subset_with_partition_keys([day.isoformat()])
    mapped = mapping.get_upstream_mapped_partitions_result_for_partitions(subset, daily, daily)
    return sorted(mapped.partitions_subset.get_partition_keys())


def span(first, last):
    """Days from so many to so many before `DAY`."""
    return [(DAY - timedelta(days=n)).isoformat() for n in range(first, last - 1, -1)]


@pytest.mark.parametrize(
    ("asset", "upstream", "first", "last"),
    [
        ("item_first_sold", "interactions", 0, 0),
        ("user_features", "interactions", USER_FEATURES.lookback_days, 0),
        ("item_features", "interactions", ITEM_FEATURES.lookback_days, 0),
        ("item_features", "item_first_sold", BEGINNING, 0),
        ("daily_examples", "interactions", BEGINNING, 0),
        ("daily_examples", "user_features", BEGINNING, 1),
        ("daily_examples", "item_features", BEGINNING, 1),
        ("online_refresh", "user_features", BEGINNING, 0),
        ("online_refresh", "interactions", BEGINNING, 0),
        ("outcomes", "request_log", 1, 1),
        ("outcomes", "interactions", BEGINNING, 0),
        ("business_metrics", "outcomes", HISTORY, 0),
        ("drift_report", "request_log", 28, 0),
        ("drift_report", "outcomes", 14, 0),
        ("drift_report", "interactions", BEGINNING, 0),
        ("finetuned_query_tower", "daily_examples", BEGINNING, 0),
        ("finetuned_dlrm", "finetuned_query_tower", 0, 0),
        ("release_candidate", "interactions", BEGINNING, 0),
        ("release_candidate", "online_refresh", 0, 0),
    ],
)
def test_a_day_declares_the_days_that_it_reads(asset, upstream, first, last):
    assert days_read(asset, upstream) == span(first, last)


def test_the_first_day_reads_no_day_before_history():
    assert days_read("user_features", "interactions", FIRST) == [FIRST.isoformat()]
    assert days_read("daily_examples", "item_features", FIRST) == []


def test_outcomes_are_of_the_answers_whose_window_closes_on_the_day():
    assert days_read("outcomes", "request_log") == days_judged(DAY.isoformat(), 24)
