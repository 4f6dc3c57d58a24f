import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from recsys_assets.definitions import defs
from recsys_assets.defs.graph.retraining import past_runs, sensors
from recsys_assets.defs.graph.retraining.sensors import TOLD_AGAIN, run_failure_alert
from recsys_assets.monitoring.closed_days import close_day
from recsys_assets.releases.release import MANIFEST, Reason, Releases
from recsys_assets.retraining.alerts import (
    Alert,
    AlertHook,
    AlertNotDelivered,
    Raised,
    raised_alerts,
    read_alert,
)
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from recsys_assets_tests.retraining import toy_graph

BY_NAME = {sensor.name: sensor for sensor in defs.sensors}


class Loop:
    """What the daemon does with a sensor: keeps its cursor, and creates each run once."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.defs = toy_graph.definitions()
        self.cursors: dict[str, str | None] = {}
        self.keys: set[tuple[str, str]] = set()
        self.skipped = ""

    def tick(self, name: str) -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            repository_def=self.defs.get_repository_def(),
            sensor_name=name,
            resources=toy_graph.resources(),
        ) as context:
            done = BY_NAME[name].evaluate_tick(context)
        self.cursors[name] = done.cursor
        self.skipped = done.skip_message or ""
        new = [ask for ask in done.run_requests or () if (name, ask.run_key) not in self.keys]
        self.keys |= {(name, ask.run_key) for ask in new}
        return new

    def start(self, request: dg.RunRequest, job: str) -> str:
        """Creates the requested run; `end` ends it."""
        run = self.instance.create_run_for_job(
            self.defs.resolve_job_def(job),
            run_config=request.run_config,
            tags=request.tags,
            status=dg.DagsterRunStatus.STARTED,
        )
        return run.run_id

    def end(self, run_id: str, *, success: bool = True) -> None:
        run = self.instance.get_run_by_id(run_id)
        if success:
            event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
            self.instance.report_dagster_event(event, run_id)
        else:
            self.instance.report_run_failed(run)

    def execute(self, job: str, day: str, **tags: str) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key=day, tags=tags, raise_on_error=False
        )

    def report(self, day: str, state: str, asset: str = "drift_report", release: int = 1) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset,
                partition=day,
                metadata={
                    "day": day,
                    "state": state,
                    "live_release": release,
                    "alerts": [{"cause": "price_ratio"}] if state != "ok" else [],
                },
            )
        )


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    monkeypatch.setenv("RECSYS_STORAGE", f"{tmp_path.as_uri()}/storage")
    monkeypatch.setenv("RECSYS_RETRAIN_EVERY_DAYS", "28")
    return tmp_path


@pytest.fixture
def loop(home) -> Iterator[Loop]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Loop(instance)


# drift_sensor


def test_drift_on_enough_days_asks_for_a_fine_tune_that_says_why(loop):
    loop.report("2017-10-01", "drifted")
    assert loop.tick("drift_sensor") == []
    assert "1 of 2 alarming days" in loop.skipped

    loop.report("2017-10-02", "drifted")
    (request,) = loop.tick("drift_sensor")

    assert request.job_name == "fine_tune"
    assert request.partition_key == "2017-10-02"
    assert request.tags["dagster/partition"] == "2017-10-02"
    assert request.tags["recsys/cause"] == "price_ratio"
    assert request.tags["recsys/cause_day"] == "2017-10-02"
    assert request.tags["recsys/requested_by"] == "drift_sensor"
    assert request.tags["recsys/trains"] == "1"
    assert request.run_key.endswith(f":{request.tags['recsys/report']}")
    assert "2 alarming days (2017-10-01, 2017-10-02)" in request.tags["recsys/why"]


def test_several_reports_of_one_tick_all_count(loop):
    for day in ("2017-10-03", "2017-10-01", "2017-10-02"):
        loop.report(day, "ok" if day.endswith("3") else "drifted")

    (request,) = loop.tick("drift_sensor")

    assert request.partition_key == "2017-10-02"


def test_the_same_reports_are_not_acted_on_twice(loop):
    for day in ("2017-10-01", "2017-10-02"):
        loop.report(day, "drifted")
    (request,) = loop.tick("drift_sensor")
    run = loop.start(request, "fine_tune")

    assert loop.tick("drift_sensor") == []
    loop.end(run)
    assert loop.tick("drift_sensor") == []


def test_a_request_whose_run_was_never_created_is_made_again_under_the_same_key(loop):
    for day in ("2017-10-01", "2017-10-02"):
        loop.report(day, "drifted")
    (lost,) = loop.tick("drift_sensor")
    loop.keys.clear()
    (again,) = loop.tick("drift_sensor")

    assert again.run_key == lost.run_key


def test_a_day_that_is_measured_anew_is_acted_on_again(loop):
    for day in ("2017-10-01", "2017-10-02"):
        loop.report(day, "drifted")
    (first,) = loop.tick("drift_sensor")
    loop.end(loop.start(first, "fine_tune"))

    loop.report("2017-10-02", "drifted")
    (second,) = loop.tick("drift_sensor")

    assert second.partition_key == first.partition_key
    assert second.run_key != first.run_key


def test_drift_during_a_fine_tune_waits_for_its_end(loop):
    for day in ("2017-10-01", "2017-10-02"):
        loop.report(day, "drifted")
    (first,) = loop.tick("drift_sensor")
    run = loop.start(first, "fine_tune")
    for number in range(3, 8):
        loop.report(f"2017-10-{number:02d}", "drifted")

    assert loop.tick("drift_sensor") == []
    assert "waiting for the training" in loop.skipped
    loop.end(run)
    (second,) = loop.tick("drift_sensor")
    assert second.partition_key == "2017-10-07"


def test_too_few_samples_start_nothing(loop):
    for day in ("2017-10-01", "2017-10-02"):
        loop.report(day, "too_few_samples")

    assert loop.tick("drift_sensor") == []


def test_a_report_that_cannot_be_read_does_not_hide_the_others(loop):
    loop.report("2017-10-01", "drifted")
    loop.instance.report_runless_asset_event(dg.AssetMaterialization("drift_report"))
    loop.report("2017-10-02", "drifted")

    assert len(loop.tick("drift_sensor")) == 1


def test_a_fine_tune_by_hand_in_the_ui_is_waited_for(loop):
    for day in ("2017-10-01", "2017-10-02"):
        loop.report(day, "drifted")
    by_hand = loop.defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey("finetuned_query_tower")}
    )
    run = loop.instance.create_run_for_job(
        by_hand,
        asset_selection=frozenset({dg.AssetKey("finetuned_query_tower")}),
        status=dg.DagsterRunStatus.STARTED,
    )

    assert loop.tick("drift_sensor") == []
    loop.end(run.run_id)
    assert len(loop.tick("drift_sensor")) == 1


def test_a_thousand_waiting_reports_are_read_in_one_tick_none_lost_none_twice(loop):
    first = toy_graph.DAYS.get_first_partition_window().start
    days = [day.strftime("%Y-%m-%d") for day in _days(first, 1000)]
    for number, day in enumerate(days):
        loop.report(day, "drifted" if number in (500, 501, 998, 999) else "ok")

    (request,) = loop.tick("drift_sensor")

    assert request.partition_key == days[999]
    assert json.loads(loop.cursors["drift_sensor"])["seen"] == int(request.tags["recsys/report"])
    loop.end(loop.start(request, "fine_tune"))
    assert loop.tick("drift_sensor") == []


def _days(first, count):
    from datetime import timedelta

    return [first + timedelta(days=number) for number in range(count)]


# retrain_sensor


def test_rejected_candidates_in_a_row_bring_a_full_retrain(loop, home):
    (home / "verdict").write_text("rejected")
    loop.report("2017-10-09", "ok")
    for day in ("2017-10-01", "2017-10-05"):
        loop.execute("fine_tune", day)
    assert loop.tick("retrain_sensor") == []
    assert "2 of 3 rejected" in loop.skipped

    loop.execute("fine_tune", "2017-10-09")
    (request,) = loop.tick("retrain_sensor")

    assert request.job_name == "full_retrain"
    assert request.partition_key == "2017-10-09"
    assert request.tags["recsys/cause"] == "3 rejected fine-tunes in a row"
    assert request.tags["recsys/trains"] == "1"


def test_everything_is_trained_anew_at_an_interval(loop):
    loop.report("2017-10-01", "ok")
    loop.report("2017-10-28", "ok")
    assert loop.tick("retrain_sensor") == []

    loop.report("2017-10-29", "ok")
    (request,) = loop.tick("retrain_sensor")
    loop.execute("full_retrain", "2017-10-29", **request.tags)

    assert request.tags["recsys/cause"] == "28 days since 2017-10-01"
    loop.report("2017-11-25", "ok")
    assert loop.tick("retrain_sensor") == []
    loop.report("2017-11-26", "ok")
    assert len(loop.tick("retrain_sensor")) == 1


# business_sensor and business_guard


def test_falling_business_asks_for_a_fine_tune(loop):
    for day in ("2017-10-01", "2017-10-02"):
        loop.report(day, "fallen", "business_metrics")

    (request,) = loop.tick("business_sensor")

    assert request.job_name == "fine_tune"
    assert request.tags["recsys/requested_by"] == "business_sensor"
    assert loop.tick("business_guard") == []


def test_a_fall_in_the_first_days_of_a_release_rolls_it_back_once(loop):
    loop.report("2017-10-01", "ok", "business_metrics", release=1)
    for day in ("2017-10-02", "2017-10-03"):
        loop.report(day, "fallen", "business_metrics", release=2)

    assert loop.tick("business_sensor") == []
    assert "left to business_guard" in loop.skipped
    (request,) = loop.tick("business_guard")
    assert request.job_name == "rollback_release"
    config = request.run_config["ops"]["rollback"]["config"]
    assert config["expected_release"] == 2
    assert config["reason"] == request.tags["recsys/why"]

    loop.start(request, "rollback_release")
    loop.report("2017-10-04", "fallen", "business_metrics", release=2)
    assert loop.tick("business_guard") == []


# refresh_sensor


@pytest.fixture
def live(home):
    """Release 1 over the data of 2017-10-01 is live."""
    releases = Releases(Store(load_settings().storage_url))
    promote_rendered(releases, "2017-10-01")
    return releases


def promote_rendered(releases, data, weights=None):
    with releases.new() as draft:
        (draft.path / MANIFEST).write_text(json.dumps({"item_features_day": data}))
    release = int(draft.version)
    if weights is not None:
        releases.note_refresh(release, weights)
    releases.record(release, (), Reason("a test", "pytest"))


def refresh_online_store(loop, *days):
    for day in days:
        loop.instance.report_runless_asset_event(
            dg.AssetMaterialization("online_refresh", partition=day)
        )


def test_a_later_day_than_the_live_release_knows_asks_for_its_refresh(loop, live):
    refresh_online_store(loop, "2017-10-03", "2017-10-02")
    (request,) = loop.tick("refresh_sensor")

    assert (request.job_name, request.partition_key) == ("refresh_release", "2017-10-03")
    assert request.tags["recsys/why"] == "data through 2017-10-03"
    assert "recsys/trains" not in request.tags
    assert loop.tick("refresh_sensor") == []  # whatever becomes of it


def test_a_day_that_the_live_release_knows_is_no_news(loop, live):
    refresh_online_store(loop, "2017-09-30", "2017-10-01")

    assert loop.tick("refresh_sensor") == []
    assert loop.skipped == (
        "release 1, which is live, holds the data through 2017-10-01: 2017-10-01 is no news to it"
    )


@pytest.mark.parametrize("job", ["daily_loop", "correct_days"])
def test_the_refresh_of_a_day_waits_until_all_of_it_is_there(loop, live, job):
    refresh_online_store(loop, "2017-10-02")
    run = loop.instance.create_run_for_job(
        loop.defs.resolve_job_def(job), status=dg.DagsterRunStatus.STARTED
    )

    assert loop.tick("refresh_sensor") == []
    assert loop.skipped == "A day is being worked on, or put right."
    loop.end(run.run_id)
    assert len(loop.tick("refresh_sensor")) == 1


def test_weights_that_are_live_again_are_brought_up_to_date_too(loop, live):
    refresh_online_store(loop, "2017-10-02")
    loop.tick("refresh_sensor")
    promote_rendered(live, "2017-10-02")
    assert loop.tick("refresh_sensor") == []

    promote_rendered(live, "2017-09-15", weights=9)  # as a rollback does
    (request,) = loop.tick("refresh_sensor")
    assert request.run_key == "9:2017-10-02"


def fail_refresh(loop, request, releases, *, rejected=False):
    """Ends the asked-for run before its release is promoted."""
    run_id = loop.start(request, "refresh_release")
    with releases.new() as draft:
        manifest = {"item_features_day": request.partition_key, "run_id": run_id}
        (draft.path / MANIFEST).write_text(json.dumps(manifest))
    if rejected:
        releases.reject(int(draft.version), "it answers badly")
    assert loop.tick("refresh_sensor") == []
    assert loop.skipped == "The refresh is being made."
    loop.end(run_id, success=False)


def test_a_refresh_that_fails_is_tried_again_that_day_but_not_for_ever(loop, live, monkeypatch):
    refresh_online_store(loop, "2017-10-02")
    (request,) = loop.tick("refresh_sensor")
    fail_refresh(loop, request, live)
    assert loop.tick("refresh_sensor") == []
    assert loop.skipped == "The refresh has failed; it is tried again later."

    monkeypatch.setattr(sensors, "_REFRESH_PAUSE_SECONDS", 0.0)
    for _ in range(2):
        (request,) = loop.tick("refresh_sensor")
        assert request.partition_key == "2017-10-02"
        fail_refresh(loop, request, live)
    assert loop.tick("refresh_sensor") == []
    assert "has failed 3 times" in loop.skipped

    refresh_online_store(loop, "2017-10-03")
    assert len(loop.tick("refresh_sensor")) == 1


def test_a_refresh_that_was_rejected_is_not_tried_again(loop, live, monkeypatch):
    monkeypatch.setattr(sensors, "_REFRESH_PAUSE_SECONDS", 0.0)
    refresh_online_store(loop, "2017-10-02")
    (request,) = loop.tick("refresh_sensor")
    fail_refresh(loop, request, live, rejected=True)

    assert loop.tick("refresh_sensor") == []
    assert loop.skipped == "The refresh, release 2, was rejected."


def test_without_a_release_or_a_day_there_is_nothing_to_refresh(loop, home):
    assert loop.tick("refresh_sensor") == []
    assert loop.skipped == "Nothing is promoted yet."
    promote_rendered(Releases(Store(load_settings().storage_url)), "2017-10-01")
    assert loop.tick("refresh_sensor") == []
    assert loop.skipped == "No day has been refreshed yet."


# closed_day_sensor


def test_closed_days_are_worked_on_in_order_one_at_a_time(loop, home):
    store = Store(f"{home.as_uri()}/storage")
    assert loop.tick("closed_day_sensor") == []
    for day in ("2017-10-02", "2017-10-01"):
        close_day(store, day)

    worked_on = []
    for _ in range(2):
        (request,) = loop.tick("closed_day_sensor")
        worked_on.append(request.partition_key)
        run = loop.start(request, "daily_loop")
        assert loop.tick("closed_day_sensor") == []
        assert loop.skipped == "A day is being worked on."
        loop.end(run)

    assert worked_on == ["2017-10-01", "2017-10-02"]
    assert loop.tick("closed_day_sensor") == []


def test_a_day_that_failed_for_good_does_not_hold_up_the_next(loop, home):
    store = Store(f"{home.as_uri()}/storage")
    for day in ("2017-10-01", "2017-10-02"):
        close_day(store, day)
    (request,) = loop.tick("closed_day_sensor")
    loop.end(loop.start(request, "daily_loop"), success=False)

    (request,) = loop.tick("closed_day_sensor")

    assert request.partition_key == "2017-10-02"
    assert request.tags["dagster/max_retries"] == "2"


def test_a_day_that_is_closed_late_is_not_forgotten(loop, home):
    store = Store(f"{home.as_uri()}/storage")
    for day in ("2017-10-02", "2017-10-03", "2017-10-01"):
        close_day(store, day)
        (request,) = loop.tick("closed_day_sensor")
        assert request.partition_key == day
        loop.end(loop.start(request, "daily_loop"))
        assert loop.tick("closed_day_sensor") == []


# passed_over_sensor


def test_the_failure_of_a_run_that_was_passed_over_is_reported_again(loop, monkeypatch):
    run = dg.DagsterRun("fine_tune", tags={"dagster/will_retry": "true"})
    loop.instance.add_run(run)
    loop.end(run.run_id, success=False)
    assert loop.tick("passed_over_sensor") == []
    assert loop.skipped == "0 runs passed over."

    monkeypatch.setattr(past_runs, "_REPEATED_WITHIN", timedelta(0))
    assert loop.tick("passed_over_sensor") == []
    assert loop.skipped == "1 runs passed over."
    failures = dg.DagsterEventType.RUN_FAILURE
    records = loop.instance.get_records_for_run(run.run_id, of_type=failures).records
    said = [record.event_log_entry.get_dagster_event().message for record in records]
    assert said[1:] == [TOLD_AGAIN]


# run_failure_alert


def alert_of(loop: Loop, result: dg.ExecuteInProcessResult) -> None:
    (failure,) = [event for event in result.all_events if event.is_run_failure]
    alert_of_event(loop, result.run_id, failure)


def alert_of_event(loop: Loop, run_id: str, failure: dg.DagsterEvent) -> None:
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failure_alert",
        dagster_event=failure,
        dagster_instance=loop.instance,
        dagster_run=loop.instance.get_run_by_id(run_id),
        resources=toy_graph.resources(),
    )
    run_failure_alert(context.for_run_failure())


def alerts(home) -> list[dict]:
    store = Store(load_settings({"RECSYS_HOME": str(home)}).storage_url)
    return [read_alert(store, raised) for raised in raised_alerts(store)]


def test_a_rejected_candidate_is_reported_as_such(loop, home):
    (home / "verdict").write_text("rejected")
    alert_of(loop, loop.execute("fine_tune", "2017-10-02", **{"recsys/cause": "price_ratio"}))

    (alert,) = alerts(home)
    assert alert["kind"] == "candidate_rejected"
    assert alert["text"] == (
        "fine_tune of 2017-10-02: rejected by beats_live: ndcg_at_10 fell by 0.0010"
    )
    assert alert["cause"] == "price_ratio"


def test_a_rejected_refresh_is_reported_as_such(loop, home):
    alert_of(loop, loop.execute("refresh_release", "2017-10-02"))

    (alert,) = alerts(home)
    assert alert["kind"] == "candidate_rejected"
    assert alert["text"] == (
        "refresh_release of 2017-10-02: rejected by canary_answers: an item appears twice"
    )


def test_a_crash_is_reported_with_its_root_cause(loop, home):
    (home / "verdict").write_text("crash")
    alert_of(loop, loop.execute("fine_tune", "2017-10-02"))

    (alert,) = alerts(home)
    assert alert["kind"] == "run_failed"
    assert "the disk is full" in alert["detail"]
    assert alert["day"] == "2017-10-02"


def test_a_failure_that_dagster_is_told_of_again_raises_no_second_alert(loop, home):
    (home / "verdict").write_text("crash")
    run = loop.execute("fine_tune", "2017-10-02").run_id
    again = loop.instance.report_run_failed(loop.instance.get_run_by_id(run), TOLD_AGAIN)
    alert_of_event(loop, run, again)

    assert alerts(home) == []


@pytest.fixture
def webhook():
    """A server that keeps what is posted to it, and answers with `status`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.taken.append(json.loads(body))
            self.send_response(self.server.status)
            self.end_headers()

        def log_message(self, *_):
            """Keeps the test's output quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.taken, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


ALERT = Alert("run_failed", "fine_tune failed", "why", "fine_tune", "abc", "2017-10-02", "")


def test_an_alert_is_posted_to_the_webhook(tmp_path, webhook):
    AlertHook(Store(tmp_path.as_uri()), f"http://127.0.0.1:{webhook.server_port}/hook").send(ALERT)

    assert [taken["text"] for taken in webhook.taken] == ["fine_tune failed"]


def test_an_alert_that_the_webhook_refuses_is_in_the_store_and_said_so(tmp_path, webhook):
    webhook.status = 500
    store = Store(tmp_path.as_uri())
    hook = AlertHook(store, f"http://127.0.0.1:{webhook.server_port}/hook")

    with pytest.raises(AlertNotDelivered, match="RECSYS_ALERT_URL"):
        hook.send(ALERT)
    (raised,) = raised_alerts(store)
    assert (raised.kind, raised.run_id) == ("run_failed", "abc")
    assert read_alert(store, raised)["text"] == "fine_tune failed"


def test_an_alert_that_the_store_does_not_take_is_posted_all_the_same(tmp_path, webhook):
    (tmp_path / "alerts").write_text("a file where the folder should be")
    hook = AlertHook(Store(tmp_path.as_uri()), f"http://127.0.0.1:{webhook.server_port}/hook")

    with pytest.raises(OSError, match="alerts"):
        hook.send(ALERT)
    assert [taken["run_id"] for taken in webhook.taken] == ["abc"]


def test_alerts_are_listed_from_the_oldest_on_and_never_replace_each_other(tmp_path):
    store = Store(tmp_path.as_uri())
    assert raised_alerts(store) == []
    for run in ("a-b", "a-b", "c"):
        AlertHook(store, None).send(replace(ALERT, run_id=run))

    raised = raised_alerts(store)
    assert [one.run_id for one in raised] == ["a-b", "a-b", "c"]
    assert raised == sorted(raised, key=lambda one: one.at)
    assert datetime.fromisoformat(read_alert(store, raised[0])["raised_at"]) == raised[0].at


def test_an_alert_that_has_been_deleted_is_named(tmp_path):
    gone = Raised(datetime.now(UTC), "run_failed", "abc", "gone.json")
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        read_alert(Store(tmp_path.as_uri()), gone)


def test_a_webhook_that_does_not_answer_is_not_waited_for(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(AlertNotDelivered):
            AlertHook(Store(tmp_path.as_uri()), url, timeout_seconds=0.2).send(ALERT)
