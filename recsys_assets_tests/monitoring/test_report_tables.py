"""Reports in the store are what the exporter reads."""

from recsys_assets.exporter.reading import StoreReader
from recsys_assets.monitoring.alerts import Measurement
from recsys_assets.monitoring.business import BusinessMetrics
from recsys_assets.monitoring.drift import DriftReport, DriftVerdict
from recsys_assets.monitoring.report_tables import (
    BUSINESS,
    DRIFT,
    business_row,
    drift_row,
    measured_against,
)
from recsys_assets.releases.release import MANIFEST, Releases
from recsys_assets.storage import Store

PRICE = Measurement("price_ratio", "features", "psi", 0.31, 0.2, 0.1, 900, 0.2)


def drift(day, state, *measurements):
    judged = DriftVerdict(state, [], list(measurements), 900)
    return DriftReport(
        day, 7, ("2025-01-01", "2025-02-01"), [], judged, 10.0, 0.0, 1.0, None, None, "UTC"
    )


def business(day, state):
    figures = {"conversion": 0.1}
    return BusinessMetrics(day, "2025-03-07", 7, 900, figures, state, [], 10.0, 5.0, 100.0)


def test_the_exporter_reads_what_the_assets_write(tmp_path):
    store = Store(tmp_path.as_uri())
    store.table(DRIFT).write(drift_row(drift("2025-03-08", "drifted", PRICE)), "2025-03-08")
    store.table(BUSINESS).write(business_row(business("2025-03-08", "fallen")), "2025-03-08")

    facts, unread = StoreReader(store).read()
    assert unread == {}
    assert (facts.drift.alarming, facts.drift.psi) == (True, {"price_ratio": 0.31})
    assert facts.business.alarming


def test_a_day_is_measured_again_against_the_release_of_its_report_while_that_is_there(tmp_path):
    store = Store(tmp_path.as_uri())
    releases = Releases(store)
    assert measured_against(store, releases, "2025-03-08") is None
    store.table(DRIFT).write(drift_row(drift("2025-03-08", "drifted")), "2025-03-08")
    assert measured_against(store, releases, "2025-03-08") is None
    for _ in range(7):
        with releases.new() as draft:
            (draft.path / MANIFEST).write_text("{}")
    assert measured_against(store, releases, "2025-03-08") == 7


def test_a_day_with_too_few_samples_has_a_row(tmp_path):
    store = Store(tmp_path.as_uri())
    store.table(DRIFT).write(drift_row(drift("2025-03-08", "too_few_samples")), "2025-03-08")
    facts, unread = StoreReader(store).read()
    assert (unread, facts.drift.alarming, facts.drift.psi) == ({}, False, {})
