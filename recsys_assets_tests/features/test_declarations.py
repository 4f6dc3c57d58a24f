import pytest

from recsys_assets.defs.graph.features.lineage import column_sources
from recsys_assets.features.declarations import FEATURE_SETS, ITEM_FEATURES, USER_FEATURES

WINDOWED = ("events", "purchases", "spend", "distinct_items", "top_category")


def test_user_columns():
    expected = [
        "last_event_at",
        *(f"{name}_{days}d" for name in WINDOWED for days in (1, 7, 28)),
        "baskets_28d",
        "basket_value_28d",
        "discount_share_28d",
        "top_store_28d",
    ]

    assert list(USER_FEATURES.columns) == expected


def test_item_columns():
    assert ITEM_FEATURES.columns == {
        "price": "float64",
        "discount": "float64",
        "popularity_1d": "int64",
        "popularity_7d": "int64",
        "popularity_28d": "int64",
        "first_sold_at": "int64",
        "last_sold_at": "int64",
    }


def test_a_day_reads_the_longest_window_and_one_day_more():
    assert USER_FEATURES.lookback_days == 28
    assert USER_FEATURES.change_offsets == (0, 1, 7, 28)


@pytest.mark.parametrize("features", FEATURE_SETS, ids=lambda features: features.name)
def test_every_column_says_what_it_is_and_where_it_comes_from(features):
    sources = column_sources(features)

    for name in features.columns:
        assert features.descriptions[name]
        assert sources[name]


def test_descriptions_name_the_window():
    assert USER_FEATURES.descriptions["events_7d"] == "Events of any kind, last 7 days"
    assert USER_FEATURES.descriptions["events_1d"].endswith("last 1 day")


def test_a_ratio_comes_from_both_of_its_parts():
    found = column_sources(USER_FEATURES)["discount_share_28d"]

    assert ("interactions", "discount") in found
    assert ("interactions", "event") in found


def test_favourite_category_comes_from_the_catalogue():
    assert ("catalogue_history", "category_l2") in column_sources(USER_FEATURES)["top_category_28d"]


def test_unpublished_parts_are_no_columns():
    assert "basket_spend_28d" not in USER_FEATURES.columns
    assert "basket_spend_28d" not in column_sources(USER_FEATURES)
