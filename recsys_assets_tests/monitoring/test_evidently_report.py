"""Evidently's page is made, published and holds the columns that are watched."""

import pytest

from recsys_assets.monitoring.drift import measure
from recsys_assets.monitoring.evidently_report import write_report
from recsys_assets.monitoring.thresholds import TOO_FEW, DriftThresholds
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import read_bytes
from recsys_assets_tests.monitoring.market import OneRelease, day_of, write_market


@pytest.mark.integration
def test_the_page_of_a_day_is_published_with_its_columns(tmp_path):
    store = Store((tmp_path / "storage").as_uri())
    write_market(store, 10, answered_from=9)
    report = measure(
        store, OneRelease(tmp_path, day_of(8)), day_of(9).isoformat(), DriftThresholds(), 24
    )
    url = write_report(store, report)
    page = read_bytes(url)
    assert page is not None
    assert b"price_ratio" in page
    assert b"spend_28d" in page
    current = store.artifact(f"drift_report/{report.day}").current()
    assert f"/{current}/" in url


def test_a_day_without_any_traffic_has_too_few_samples_and_a_page_that_says_so(tmp_path):
    store, day = Store((tmp_path / "storage").as_uri()), day_of(9).isoformat()
    write_market(store, 10, answered_from=9)
    for name in ("interactions", "request_log", "outcomes"):
        table = store.table(name)
        table.write(table.read([day])[:0], day)
    report = measure(store, OneRelease(tmp_path, day_of(8)), day, DriftThresholds(), 24)
    assert report.metadata()["state"] == TOO_FEW
    assert b"neither requests nor purchases" in (read_bytes(write_report(store, report)) or b"")
