import pytest

from recsys_assets.events.contract import BrokenInput
from recsys_assets.features.attributes import attribute_names, require_own_names
from recsys_assets.features.declarations import FEATURE_SETS
from recsys_assets.features.request_time import CONTEXT_FEATURES
from recsys_assets.monitoring.answer_table import COLUMNS
from recsys_assets.monitoring.sessions import KEYS


def test_key_text_image_and_list_price_are_no_attributes():
    columns = ["item_id", "text", "category_l1", "image", "price", "colour"]

    assert attribute_names("items", columns) == ["category_l1", "colour"]


def test_attributes_with_names_of_their_own_are_taken():
    require_own_names({"users": ["age", "income"], "items": ["brand", "colour", "text"]})


@pytest.mark.parametrize("table", ["users", "items"])
@pytest.mark.parametrize(
    "name",
    [
        *(name for features in FEATURE_SETS for name in features.columns),
        *CONTEXT_FEATURES,
        *COLUMNS.names,
        *KEYS,
        "Discount",
    ],
)
def test_the_name_of_a_feature_or_of_a_column_of_requests_is_refused(table, name):
    with pytest.raises(BrokenInput, match=rf"{table}\.parquet, column '{name}': .*Remedy"):
        require_own_names({table: ["colour", name]})


def test_so_is_one_that_users_and_items_share():
    with pytest.raises(BrokenInput, match=r"items\.parquet, column 'Region': users have"):
        require_own_names({"users": ["region"], "items": ["Region"]})


def test_a_table_without_attributes_is_refused():
    with pytest.raises(BrokenInput, match=r"users\.parquet: it has no attribute, .*Remedy: add"):
        require_own_names({"users": [], "items": ["brand"]})
