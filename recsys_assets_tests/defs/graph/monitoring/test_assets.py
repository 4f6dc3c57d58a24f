"""What the reports of days say beside their figures."""

import dagster as dg
import pytest

from recsys_assets.defs.graph.monitoring.assets import drift_report
from recsys_assets.defs.monitoring_resources import Attribution
from recsys_assets.defs.resources import StoreResource
from recsys_assets.monitoring import drift, evidently_report, plots
from recsys_assets.monitoring.drift import DriftReport, DriftVerdict
from recsys_assets.releases.release import MANIFEST, Releases
from recsys_assets.storage import Store

DAY = "2017-10-01"


@pytest.fixture
def asked(monkeypatch):
    """The releases that the day is to be measured against; it is, as if without samples."""
    releases = []

    def measure(store, found, day, thresholds, hours, release=None):
        releases.append(release)
        verdict = DriftVerdict("too_few_samples", [], [], 0)
        live = release or found.latest()
        return DriftReport(day, live, (DAY, DAY), [], verdict, 0.0, 0.0, 1.0, None, None, "UTC")

    monkeypatch.setattr(drift, "measure", measure)
    monkeypatch.setattr(evidently_report, "write_report", lambda *_: "file:///page.html")
    monkeypatch.setattr(plots, "plot_signals", lambda _: b"")
    return releases


def test_a_day_that_is_put_right_is_measured_against_the_release_of_its_report(tmp_path, asked):
    store = Store(tmp_path.as_uri())
    corrections = []
    for job in ("daily_loop", "correct_days", "daily_loop"):
        with Releases(store).new() as draft:  # each night another one
            (draft.path / MANIFEST).write_text("{}")
        corrections.append(measured_by(job, store).metadata["correction"].value)

    assert asked == [None, 1, None]
    assert corrections == [False, True, False]


def measured_by(job, store):
    measuring = dg.define_asset_job(job, [drift_report])
    definitions = dg.Definitions(
        [drift_report],
        jobs=[measuring],
        resources={
            "store": StoreResource(url=store.url),
            "attribution": Attribution(hours=24),
        },
    )
    done = definitions.resolve_job_def(job).execute_in_process(partition_key=DAY)
    (made,) = done.asset_materializations_for_node(drift_report.op.name)
    return made
