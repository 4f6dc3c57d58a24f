from datetime import date, timedelta

from recsys_assets.events.ingest import ingest
from recsys_assets.events.sources.parquet import ParquetSource
from recsys_assets.storage import Store
from recsys_assets_tests.events.deliveries import DAY, ITEMS, NOW, write_events, write_shop


def test_progress_counts_days(tmp_path):
    shop = write_shop(tmp_path / "shop")
    write_events(shop, "all.parquet", {})
    source = ParquetSource(shop.as_uri(), date(2024, 5, 1), None)
    days = [DAY + timedelta(days=n) for n in range(40)]
    told = []

    ingest(
        source,
        Store((tmp_path / "store").as_uri()),
        days,
        ITEMS,
        NOW,
        lambda done, total: told.append((done, total)),
    )

    assert told == [(done, 40) for done in range(1, 41)]
