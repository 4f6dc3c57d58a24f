from dataclasses import replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
import yaml

from recsys_assets.events.contract import BrokenInput
from recsys_assets.events.sources.recording import accounts
from recsys_assets.features.attributes import attribute_rows
from recsys_assets.features.feature_store import (
    apply_repository,
    local_or_url,
    open_feature_store,
    redis_connection,
    write_configuration,
)
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import exists


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:6390/0", "127.0.0.1:6390,db=0"),
        ("redis://store:6379/3", "store:6379,db=3"),
        (
            "rediss://me:s%40cret@cache.example",
            "cache.example:6379,db=0,ssl=true,username=me,password=s@cret",
        ),
    ],
)
def test_connection_strings(url, expected):
    assert redis_connection(url) == expected


def test_local_paths_and_other_urls():
    assert local_or_url("file:///data/x") == "/data/x"
    assert local_or_url("s3://bucket/x") == "s3://bucket/x"


@pytest.mark.parametrize(
    ("offline_store", "kind"),
    [
        ("duckdb", "recsys_assets.features.asof_store.AsOfOfflineStore"),
        ("spark", "spark"),
        ("athena", "athena"),
    ],
)
def test_the_configuration_of_a_deployment(tmp_path, offline_store, kind):
    settings = load_settings(
        {
            "RECSYS_HOME": str(tmp_path),
            "RECSYS_STORAGE": "s3://bucket/shop",
            "RECSYS_OFFLINE_STORE": offline_store,
        }
    )

    found = yaml.safe_load(write_configuration(settings))

    assert found["offline_store"]["type"] == kind
    assert found["registry"]["path"] == "s3://bucket/shop/feast/registry.db"
    assert found["online_store"]["connection_string"] == "127.0.0.1:6390,db=0"
    assert "${" not in (tmp_path / "feast" / "feature_store.yaml").read_text().split("\nproject")[1]


@pytest.mark.integration
def test_an_attribute_called_like_a_feature_is_refused_before_anything_is_registered(tmp_path):
    settings = replace(load_settings(), home=tmp_path, storage_url=f"{tmp_path.as_uri()}/storage")
    store, first = Store(settings.storage_url), date(2025, 1, 1)
    users = pa.table({"user_id": ["ann"], "age": ["30s"]})
    items = pa.table({"item_id": ["tea"], "text": ["Tea"], "discount": ["never"]})
    store.table("user_attributes").write(attribute_rows("users", users, first))
    store.table("item_attributes").write(attribute_rows("items", items, first))

    with pytest.raises(BrokenInput, match=r"items\.parquet, column 'discount': the features item"):
        apply_repository(settings)

    assert not exists(f"{settings.storage_url}/feast")


@pytest.mark.integration
def test_a_shop_of_whose_users_nothing_is_known_has_their_attributes_missing(tmp_path):
    settings = replace(load_settings(), home=tmp_path, storage_url=f"{tmp_path.as_uri()}/storage")
    store, first = Store(settings.storage_url), date(2025, 1, 1)
    items = pa.table({"item_id": ["tea"], "brand": ["Hill"]})
    store.table("user_attributes").write(attribute_rows("users", accounts([]), first))
    store.table("item_attributes").write(attribute_rows("items", items, first))
    visit = {"user_id": "session-1", "event_timestamp": datetime(2025, 1, 3, tzinfo=UTC)}

    apply_repository(settings)
    known = open_feature_store(settings).get_historical_features(
        pa.Table.from_pylist([visit]).to_pandas(), ["user_attributes:account"]
    )

    assert known.to_arrow().to_pylist() == [visit | {"account": None}]
