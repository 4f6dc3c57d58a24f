"""The Parquet source on S3, as a shop in the cloud would use it."""

from datetime import date

import boto3
import polars as pl
import pytest

from recsys_assets.events.contract import BrokenInput
from recsys_assets.events.ingest import ingest
from recsys_assets.events.sources import ParquetSource
from recsys_assets.storage import StorageUnavailable, Store
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.events.deliveries import DAY, NOW, write_events, write_shop

pytestmark = pytest.mark.integration


@pytest.fixture
def bucket(s3_environment, monkeypatch):
    """A client of an S3 server with the bucket `shop`, which this process finds."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    return boto3.client("s3", region_name=s3_environment["AWS_REGION"])


def upload(client, folder, prefix="data"):
    for path in sorted(folder.rglob("*.parquet")):
        client.upload_file(str(path), "shop", f"{prefix}/{path.relative_to(folder)}")


def test_a_day_goes_from_a_bucket_into_a_bucket(bucket, tmp_path):
    shop = write_shop(tmp_path / "shop")
    write_events(shop, "day=2024-05-02/a.parquet", {}, {"item_id": "gone"})
    write_events(shop, "all.parquet", {"session_id": "s2"})
    upload(bucket, shop)
    source = ParquetSource("s3://shop/data", date(2024, 5, 1), None)
    store = Store("s3://shop/store")

    report = ingest(source, store, [DAY], pl.Series(source.items()["item_id"]), NOW)

    assert (report.days[0].rows, report.days[0].quarantined) == (2, 1)
    assert store.table("interactions").read(["2024-05-02"]).num_rows == 2
    assert source.promotions().num_rows == 0
    assert source.user_attributes == ("age",)


def test_a_truncated_object_is_named(bucket, tmp_path):
    shop = write_shop(tmp_path / "shop")
    path = write_events(shop, "day=2024-05-02/cut.parquet", {})
    path.write_bytes(path.read_bytes()[:-9])
    upload(bucket, shop)

    with pytest.raises(BrokenInput, match=r"shop/data/interactions/day=2024-05-02/cut\.parquet"):
        ParquetSource("s3://shop/data", date(2024, 5, 1), None).interactions([DAY])


def test_a_bucket_that_does_not_answer_is_named(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    source = ParquetSource("s3://shop/data", date(2024, 5, 1), None)
    for read in (source.promotions, source.items, lambda: source.interactions([DAY])):
        with pytest.raises(StorageUnavailable, match=r"s3://shop/data/.*AWS_ENDPOINT_URL"):
            read()


def test_keys_may_hold_what_means_something_in_other_urls(bucket, tmp_path):
    shop = write_shop(tmp_path / "shop")
    for name in ("a b", "a%20b", "week #1?", "day=2024-05-02/09%3A00"):
        write_events(shop, f"{name}.parquet", {"user_id": name})
    upload(bucket, shop, "names")

    rows = ParquetSource("s3://shop/names", date(2024, 5, 1), None).interactions([DAY])

    assert rows["user_id"].sort().to_list() == [
        "a b",
        "a%20b",
        "day=2024-05-02/09%3A00",
        "week #1?",
    ]
