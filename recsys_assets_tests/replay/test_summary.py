"""What a replay has shown, read back from a made-up instance and store."""

import json
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import numpy as np
import pytest

from recsys_assets.monitoring.closed_days import close_day
from recsys_assets.releases.release import MANIFEST, Reason, Releases
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from recsys_assets_tests.replay.made_up import answer, traffic
from recsys_assets_tests.replay.test_quality import write_outcomes
from replay import experiments
from replay.plot import plot_replay
from replay.quality import DayQuality
from replay.record import DayRecord, write_day, write_slates
from replay.run import _keep_first_answer
from replay.summary import write_summary

DAYS = ["2017-10-01", "2017-10-02"]
DAILY = dg.DailyPartitionsDefinition("2017-10-01", end_date="2020-12-31")


@dg.asset(partitions_def=DAILY)
def release_candidate(context: dg.AssetExecutionContext) -> None:
    """What the gate says of a day is in the run's tags."""
    said = context.run.tags.get("said", "better")
    if said == "crash":
        raise RuntimeError("the disk is full")
    metadata = {"release": 2, "verdict": said, "reason": "ndcg_at_10 fell by 0.0010"}
    context.add_asset_metadata(metadata, context.asset_key, context.partition_key)


GRAPH = dg.Definitions(
    [release_candidate],
    jobs=[dg.define_asset_job(name, "*") for name in ("fine_tune", "full_retrain")],
    executor=dg.in_process_executor,
)


class Replayed:
    """Two days of a replay that began with release 1."""

    def __init__(self, home, instance):
        self.settings = load_settings({"RECSYS_HOME": str(home)})
        self.store, self.instance = Store(self.settings.storage_url), instance
        self.releases = Releases(self.store)
        for number, day in enumerate(DAYS):
            write_day(self.store, DayRecord(day, 1, 1, 50, number, 2, 3, 4.0, 5.0, 6.0))
            shown = {0: answer(item_ids=("milk",))}
            write_slates(self.store, traffic(1, day), shown, [np.array(["tea"])], 1)
            close_day(self.store, day)
        write_outcomes(self.store, DAYS[1], [("user-0", 0, ["milk"])])

    def publish(self, base=None):
        with self.releases.new() as draft:
            manifest = {
                "base_release": base,
                "trained_through": "2017-09-30",
                "item_features_day": "2017-09-30",
                "cause": "price_ratio",
            }
            (draft.path / MANIFEST).write_text(json.dumps(manifest))

    def report(self, asset, day, **metadata):
        """Reports a day; returns the id and the moment of the event."""
        event = dg.AssetMaterialization(asset, partition=day, metadata=metadata)
        self.instance.report_runless_asset_event(event)
        (record,) = self.instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
        return record.storage_id, record.timestamp

    def train(self, job="fine_tune", **tags):
        result = GRAPH.resolve_job_def(job).execute_in_process(
            partition_key=DAYS[1],
            instance=self.instance,
            raise_on_error=False,
            tags={"recsys/cause": "price_ratio", "recsys/cause_day": DAYS[1], **tags},
        )
        return result.run_id

    def summary(self):
        path = write_summary(self.settings, self.instance, 1)
        return json.loads(path.read_text())


@pytest.fixture
def replayed(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Replayed(tmp_path, instance)


def test_it_has_what_was_asked_for(replayed):
    summary = replayed.summary()

    assert {
        *("days", "requests", "failed_requests", "triggers", "releases"),
        *("quality", "business", "control", "shocks"),
    } <= set(summary)


def test_counts_are_those_of_the_days(replayed):
    summary = replayed.summary()

    assert (summary["days"], summary["first_day"], summary["last_day"]) == (2, *DAYS)
    assert (summary["requests"], summary["failed_requests"]) == (100, 1)
    assert (summary["degraded_requests"], summary["wrong_release_requests"]) == (4, 6)


def test_quality_is_by_week(replayed):
    week = replayed.summary()["quality"][DAYS[0]]["ndcg_at_10"]

    assert (week["live"], week["frozen"], week["difference"]) == (1.0, 0.0, 1.0)
    assert week["interval"] == [1.0, 1.0]


def test_a_promotion_counts_from_the_report_to_the_first_answer(replayed):
    event, reported = replayed.report("drift_report", DAYS[1], state="drifted", max_psi=0.3)
    run_id = replayed.train(**{"recsys/report": str(event)})
    _keep_first_answer(replayed.settings, 2, reported + 90.0)

    assert replayed.summary()["triggers"] == [
        {
            "day": DAYS[1],
            "cause": "price_ratio",
            "partition": DAYS[1],
            "run_id": run_id,
            "job": "fine_tune",
            "outcome": "promoted",
            "release": 2,
            "seconds_to_serving": pytest.approx(90.0, abs=0.1),
        }
    ]


def test_business_metrics_that_were_acted_on_are_reports_too(replayed):
    event, reported = replayed.report("business_metrics", DAYS[1])
    replayed.train(**{"recsys/report": str(event), "recsys/requested_by": "business_sensor"})
    _keep_first_answer(replayed.settings, 2, reported + 30.0)

    (trigger,) = replayed.summary()["triggers"]
    assert trigger["seconds_to_serving"] == pytest.approx(30.0, abs=0.1)


def test_the_first_note_of_a_first_answer_stands(replayed):
    for seconds in (90.0, 500.0):
        _keep_first_answer(replayed.settings, 2, seconds)

    note = replayed.settings.home / "replay/first_answers/2"
    assert datetime.fromisoformat(note.read_text()) == datetime.fromtimestamp(90.0, UTC)


@pytest.mark.parametrize(
    ("said", "outcome"),
    [("rejected", "rejected: ndcg_at_10 fell by 0.0010"), ("crash", "failure")],
)
def test_what_was_not_promoted_says_why(replayed, said, outcome):
    replayed.train(said=said)

    (trigger,) = replayed.summary()["triggers"]
    assert (trigger["outcome"], trigger["seconds_to_serving"]) == (outcome, None)


def test_a_run_that_is_repeated_counts_once(replayed):
    replayed.train(said="crash", **{"dagster/will_retry": "true"})
    replayed.train("full_retrain")

    assert [trigger["job"] for trigger in replayed.summary()["triggers"]] == ["full_retrain"]


def test_every_release_says_what_became_of_it(replayed):
    replayed.publish()
    replayed.publish(base=1)
    replayed.releases.record(1, (), Reason("initial training", "run 1"))
    replayed.releases.reject(2, "worse")

    first, second = replayed.summary()["releases"]
    assert (first["release"], first["base_release"], first["rejected"]) == (1, None, None)
    assert len(first["promoted_at"]) == 1
    assert (second["base_release"], second["rejected"], second["promoted_at"]) == (1, "worse", [])


def test_the_newest_measurement_of_a_day_is_shown(replayed):
    replayed.report("business_metrics", DAYS[0], about_day="2017-09-30", conversion=0.1)
    replayed.report("business_metrics", DAYS[0], about_day="2017-09-30", conversion=0.2)

    assert replayed.summary()["business"] == {
        DAYS[0]: {"about_day": "2017-09-30", "conversion": 0.2}
    }


def test_experiments_are_in_it_once_they_were_run(replayed):
    assert replayed.summary()["control"] is None
    found = {"control": {"days": 60, "triggers": 0}, "shocks": {"prices": {"found": True}}}
    (replayed.settings.home / "replay" / experiments.FILE).write_text(json.dumps(found))

    assert replayed.summary()["control"] == {"days": 60, "triggers": 0}
    assert replayed.summary()["shocks"] == {"prices": {"found": True}}


def test_before_the_first_day_there_is_a_summary_without_a_picture(tmp_path):
    settings = load_settings({"RECSYS_HOME": str(tmp_path)})
    with dg.DagsterInstance.ephemeral() as instance:
        path = write_summary(settings, instance, 1)

    assert json.loads(path.read_text())["days"] == 0
    assert not (path.parent / "replay.png").exists()


def test_the_picture_shows_days_with_and_without_reports_and_triggers():
    days = [(date(2017, 10, 1) + timedelta(days=n)).isoformat() for n in range(10)]
    quality = [
        DayQuality(
            day,
            np.array(["ann", "bob"], dtype=object),
            {
                (method, metric): np.array([0.1, 0.2])
                for method in ("live", "frozen")
                for metric in ("ndcg_at_10", "recall_at_10")
            },
        )
        for day in days
    ]
    drift = {days[0]: {"state": "ok"}, days[1]: {"state": "drifted", "max_psi": 0.3}}
    triggers = [
        {"day": days[1], "partition": days[1], "outcome": "promoted"},
        {"day": days[4], "partition": "", "outcome": "rejected: worse"},
    ]

    assert plot_replay(quality, drift, triggers).startswith(b"\x89PNG")
    assert plot_replay(quality[:1], {}, []).startswith(b"\x89PNG")
