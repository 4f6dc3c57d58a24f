import dagster as dg
import pytest

from recsys_assets.defs.runs.lineage_events import LIVE_RELEASE, report_changes
from recsys_assets.releases.release import Reason, Releases
from recsys_assets.storage import Store


@pytest.fixture
def releases(tmp_path):
    return Releases(Store(tmp_path.as_uri()))


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def lineage(instance):
    """Materializations of the live release, oldest first."""
    records = instance.fetch_materializations(LIVE_RELEASE, limit=100, ascending=True).records
    return [record.asset_materialization for record in records]


def test_a_change_by_hand_is_a_materialization_with_who_and_why(instance, releases):
    releases.record(1, (), Reason("the new range is in", "ann"))
    report_changes(instance, releases)
    (event,) = lineage(instance)
    assert event.description == "promoted by ann: the new range is in"
    assert event.metadata["release"].value == 1
    assert (event.metadata["cause"].value, event.metadata["by"].value) == (
        "the new range is in",
        "ann",
    )
    assert event.tags["dagster/data_version"] == "1"


def test_changes_are_reported_once_and_in_order(instance, releases):
    releases.record(1, (), Reason("a", "ann"))
    assert [change.number for change in report_changes(instance, releases)] == [1]
    releases.record(2, (1,), Reason("b", "drift_sensor"))
    releases.record(1, (), Reason("c", "promotion guard"), "rolled back")
    assert [change.number for change in report_changes(instance, releases)] == [2, 3]
    assert report_changes(instance, releases) == []
    assert [event.metadata["release"].value for event in lineage(instance)] == [1, 2, 1]


def test_what_a_run_has_reported_is_not_reported_again(instance, releases):
    change = releases.record(1, (), Reason("a", "run"))
    event = dg.AssetMaterialization(LIVE_RELEASE, metadata=change.as_metadata())
    instance.report_runless_asset_event(event)
    assert report_changes(instance, releases) == []


def test_what_a_run_is_about_to_report_is_left_to_it(instance, releases):
    releases.record(1, (), Reason("a", "ann"))
    change = releases.record(2, (1,), Reason("b", "run"))
    reported = report_changes(instance, releases, before=change.number)
    assert [change.number for change in reported] == [1]
