"""What of a closed day's work is left to do, and what has to be done again.

That days come in order is tested with the other sensors. And when answers are collected without a
day being worked on.
"""

from datetime import UTC, datetime

import dagster as dg
import pyarrow as pa
import pytest
import redis
from dagster._core.utils import make_new_run_id

from recsys_assets.definitions import defs
from recsys_assets.defs.graph.jobs import correct_days, daily_loop
from recsys_assets.defs.graph.monitoring import sensors
from recsys_assets.defs.graph.monitoring.sensors import (
    _FOLLOWING,
    _PREPARED,
    CORRECTED,
    answers_sensor,
    closed_day_sensor,
    corrected_days_sensor,
    late_answers_sensor,
)
from recsys_assets.defs.monitoring_resources import AnswerStream
from recsys_assets.defs.partitions import daily
from recsys_assets.defs.resources import TODAY_TAG, RunDays, StoreResource
from recsys_assets.monitoring.answer_parts import AnswerParts, group_of
from recsys_assets.monitoring.closed_days import close_day, days_over
from recsys_assets.pipeline.request_log import STREAM
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.serving.logged_answers import an_answer

DAY = "2017-10-01"
MADE_BY_A_BACKFILL = ("interactions", "user_features", "item_features", "daily_examples")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def requested(instance, tmp_path, *made):
    close_day(Store(tmp_path.as_uri()), DAY)
    for name in made:
        instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=DAY))
    with dg.build_sensor_context(
        instance=instance,
        definitions=defs,
        sensor_name="closed_day_sensor",
        resources={
            "store": StoreResource(url=tmp_path.as_uri()),
            "run_days": RunDays.from_settings(load_settings()),
        },
    ) as context:
        (request,) = closed_day_sensor.evaluate_tick(context).run_requests
    assert (request.job_name, request.partition_key) == ("daily_loop", DAY)
    return request.asset_selection


def test_a_day_that_nothing_was_made_of_gets_the_whole_job(instance, tmp_path):
    assert requested(instance, tmp_path) is None


@pytest.mark.parametrize("missing", MADE_BY_A_BACKFILL)
def test_a_day_that_something_is_missing_of_gets_the_whole_job(instance, tmp_path, missing):
    made = [name for name in MADE_BY_A_BACKFILL if name != missing]

    assert requested(instance, tmp_path, *made) is None


def test_what_a_backfill_has_made_is_not_made_again(instance, tmp_path):
    chosen = requested(instance, tmp_path, *MADE_BY_A_BACKFILL)

    assert {key.to_user_string() for key in chosen} == {
        *("online_refresh", "request_log", "outcomes", "business_metrics", "drift_report")
    }


def test_what_is_left_and_what_is_made_are_the_days_whole_work():
    job = defs.resolve_job_def(daily_loop.name).asset_layer.selected_asset_keys
    graph = defs.resolve_asset_graph()
    events = {key for key in job if graph.get(key).group_name == "events"}

    once = {key for key in job if graph.get(key).partitions_def is None}
    before = {dg.AssetKey(name) for name in ("item_first_sold",)}
    assert job - events - once - before - set(_PREPARED) == set(_FOLLOWING)


def asked_for(instance, tmp_path, **settings):
    """Days that the sensor asks for, tick by tick, each run ending before the next tick."""
    days, cursor = [], None
    for _ in range(100):
        with dg.build_sensor_context(
            instance=instance,
            definitions=defs,
            cursor=cursor,
            sensor_name="closed_day_sensor",
            resources={
                "store": StoreResource(url=tmp_path.as_uri()),
                "run_days": RunDays(first_day="2024-01-01", evaluation_days=7, **settings),
            },
        ) as context:
            ticked = closed_day_sensor.evaluate_tick(context)
        cursor = ticked.cursor
        if not ticked.run_requests:
            return days
        days.append(ticked.run_requests[0].partition_key)
        ended(instance, "daily_loop", {"dagster/partition": days[-1]})
    raise AssertionError(f"it asks for ever: {days}")


def ended(instance, job, tags):
    run = dg.DagsterRun(
        job_name=job, run_id=make_new_run_id(), tags=tags, status=dg.DagsterRunStatus.SUCCESS
    )
    instance.add_run(run)


@pytest.fixture
def noon(monkeypatch):
    """It is noon on 2017-10-04, a day of the definitions' recording."""
    moment = datetime(2017, 10, 4, 12, tzinfo=UTC)
    monkeypatch.setattr(sensors, "days_over", lambda first, _: days_over(first, moment))


def test_live_days_close_by_the_clock_from_the_today_of_the_first_release_on(
    instance, tmp_path, noon
):
    ended(instance, "initial_pipeline", {TODAY_TAG: DAY})

    assert asked_for(instance, tmp_path) == [DAY, "2017-10-02", "2017-10-03"]


def test_live_days_wait_for_the_first_release(instance, tmp_path, noon):
    assert asked_for(instance, tmp_path) == []


def test_days_of_a_recording_do_not_close_by_the_clock(instance, tmp_path, noon):
    ended(instance, "initial_pipeline", {TODAY_TAG: DAY})

    assert asked_for(instance, tmp_path, today=DAY) == []


class Loop:
    """A shop whose days are worked on, and the sensor that looks for corrections."""

    def __init__(self, instance):
        self.instance = instance
        self.cursor = None

    def ingest(self, day, content="as it was", late=()):
        metadata = {"content": content, "rows_for_earlier_days": dict.fromkeys(late, 1)}
        self.report("interactions", day, metadata)

    def report(self, name, day, metadata=None):
        made = dg.AssetMaterialization(name, partition=day, metadata=metadata or {})
        self.instance.report_runless_asset_event(made)

    def live(self, *days, answered=True):
        for day in days:
            self.ingest(day)
            for name in ("user_features", "item_features", "daily_examples"):
                self.report(name, day)
            if answered:
                self.report("outcomes", day)

    def tick(self):
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            definitions=defs,
            sensor_name="corrected_days_sensor",
        ) as context:
            done = corrected_days_sensor.evaluate_tick(context)
        self.cursor = done.cursor
        return list(done.run_requests or ())


def days_corrected(request, instance):
    """Carries a request out, with assets that do nothing but report what real ones would."""
    single = dg.BackfillPolicy.single_run()

    @dg.multi_asset(
        specs=[dg.AssetSpec(name) for name in CORRECTED[:2]],
        partitions_def=daily,
        backfill_policy=single,
    )
    def ingest(context):
        for day in context.partition_keys:
            context.add_asset_metadata(
                {"content": "with what came late"}, dg.AssetKey("interactions"), day
            )
        yield from (dg.MaterializeResult(name) for name in CORRECTED[:2])

    def derived(name):
        @dg.asset(name=name, partitions_def=daily, backfill_policy=single, deps=["interactions"])
        def made() -> None: ...

        return made

    job = dg.define_asset_job(request.job_name, dg.AssetSelection.all())
    definitions = dg.Definitions(assets=[ingest, *map(derived, CORRECTED[2:])], jobs=[job])
    return definitions.resolve_job_def(request.job_name).execute_in_process(
        instance=instance, tags=request.tags, asset_selection=list(request.asset_selection)
    )


def materialized(result):
    return [
        event.event_specific_data.materialization
        for event in result.get_asset_materialization_events()
    ]


class TestCorrectedDays:
    DAYS = ("2017-10-01", "2017-10-02", "2017-10-03")

    @pytest.fixture
    def loop(self, instance):
        return Loop(instance)

    def test_where_nothing_was_corrected_nothing_is_asked_for(self, loop):
        loop.live(*self.DAYS)

        assert loop.tick() == []

    def test_late_rows_have_one_run_read_and_compute_the_days_again(self, loop):
        loop.live(*self.DAYS)
        loop.ingest(self.DAYS[2], late=[self.DAYS[1]])

        (request,) = loop.tick()

        assert request.job_name == "correct_days"
        assert (request.partition_key_range.start, request.partition_key_range.end) == self.DAYS[1:]
        assert {key.to_user_string() for key in request.asset_selection} == set(CORRECTED)
        assert [again.run_key for again in loop.tick()] == [request.run_key]  # created once

    def test_events_put_right_are_not_read_once_more(self, loop):
        loop.live(*self.DAYS)
        loop.ingest(self.DAYS[0], "put right")

        (request,) = loop.tick()

        assert request.partition_key_range.start == self.DAYS[0]
        names = {key.to_user_string() for key in request.asset_selection}
        assert set(CORRECTED) - names == {"interactions", "quarantined_interactions"}

    def test_days_before_the_first_answer_have_no_outcomes(self, loop):
        loop.live(*self.DAYS, answered=False)
        loop.ingest(self.DAYS[0], "put right")

        (request,) = loop.tick()

        names = {key.to_user_string() for key in request.asset_selection}
        assert names.isdisjoint({"outcomes", "business_metrics", "drift_report"})

    def test_features_that_are_right_are_not_computed_again_for_outcomes(self, loop):
        loop.live(self.DAYS[0], answered=False)
        loop.live(*self.DAYS[1:])
        loop.ingest(self.DAYS[0], "put right")
        (request,) = loop.tick()
        days_corrected(request, loop.instance)

        (request,) = loop.tick()

        assert request.partition_key_range.start == self.DAYS[1]
        assert {key.to_user_string() for key in request.asset_selection} == {
            "outcomes",
            "business_metrics",
            "drift_report",
        }

    @pytest.mark.parametrize("job", ["initial_pipeline", "correct_days"])
    def test_a_run_that_makes_many_days_is_waited_for(self, loop, job):
        loop.live(*self.DAYS)
        loop.ingest(self.DAYS[0], "put right")
        loop.instance.create_run_for_job(
            defs.resolve_job_def(job), status=dg.DagsterRunStatus.STARTED
        )

        assert loop.tick() == []

    def test_once_the_run_has_ended_nothing_is_left_to_correct(self, loop):
        loop.live(*self.DAYS)
        loop.ingest(self.DAYS[2], late=[self.DAYS[1]])
        (request,) = loop.tick()

        done = days_corrected(request, loop.instance)

        assert done.success
        made = {event.asset_key.to_user_string() for event in materialized(done)}
        assert made == set(CORRECTED)
        assert {event.partition for event in materialized(done)} == set(self.DAYS[1:])
        assert loop.tick() == []

    def test_what_is_corrected_is_a_part_of_a_days_work(self):
        jobs = (daily_loop, correct_days)
        day, again = (
            defs.resolve_job_def(job.name).asset_layer.selected_asset_keys for job in jobs
        )

        assert again < day


def tick(instance, sensor, **resources):
    """Run requests of a sensor's next look, or why there is none."""
    with dg.build_sensor_context(
        instance=instance, definitions=defs, sensor_name=sensor.name, resources=resources
    ) as context:
        found = sensor.evaluate_tick(context)
    return found.run_requests or found.skip_message


def begin(instance, job_name):
    return instance.create_run_for_job(
        defs.resolve_job_def(job_name), status=dg.DagsterRunStatus.STARTED
    )


@pytest.mark.integration
class TestAnswers:
    @pytest.fixture
    def stream(self, valkey_url):
        return self.stream_of(valkey_url, 1000)

    def stream_of(self, url, most_uncollected):
        return AnswerStream(
            online_store_url=url,
            first_day=DAY,
            last_day="",
            most_uncollected=most_uncollected,
            wait_seconds=1,
            many=3,
        )

    def put(self, url, count):
        with redis.Redis.from_url(url) as client:
            for number in range(count):
                client.xadd(STREAM, an_answer(f"r{number}").encode())

    def test_many_are_collected_before_their_day_is_over(self, instance, stream):
        self.put(stream.online_store_url, 2)
        assert tick(instance, answers_sensor, answer_stream=stream) == "Few answers wait."
        self.put(stream.online_store_url, 1)
        (request,) = tick(instance, answers_sensor, answer_stream=stream)
        assert request.job_name == "drain_answers"

    def test_once_at_a_time(self, instance, stream):
        self.put(stream.online_store_url, 3)
        begin(instance, "drain_answers")
        found = tick(instance, answers_sensor, answer_stream=stream)
        assert found == "They are being collected."

    def test_a_store_that_is_away_is_waited_for(self, instance):
        nowhere = self.stream_of(f"redis://127.0.0.1:{free_port()}/0", 1000)
        assert tick(instance, answers_sensor, answer_stream=nowhere).startswith(
            "The online store does not answer: "
        )

    def test_where_few_may_wait_few_are_many(self, instance, valkey_url):
        small = self.stream_of(valkey_url, 4)
        self.put(valkey_url, 1)
        assert len(tick(instance, answers_sensor, answer_stream=small)) == 1


class TestLateAnswers:
    @pytest.fixture
    def store(self, tmp_path):
        return Store(tmp_path.as_uri())

    def look(self, instance, store):
        return tick(instance, late_answers_sensor, store=StoreResource(url=store.url))

    def wait(self, store, *groups):
        for group in groups:
            rows = pa.table({"entry_id": ["1-0"], "reason": [""], "entry": [""]})
            AnswerParts(store).write(group, rows)

    def collect(self, store, *days):
        for day in days:
            store.table("request_log").write(pa.table({"request_id": ["r1"]}), day)

    def test_a_day_that_was_collected_before_they_came_is_collected_again(self, instance, store):
        self.collect(store, "2017-10-01", "2017-10-02")
        self.wait(store, group_of("2017-10-01"), group_of("2017-10-03"), "rejected")
        (request,) = self.look(instance, store)
        assert request.partition_key == "2017-10-01"

    def test_a_day_that_goes_on_is_not(self, instance, store):
        today = datetime.now(UTC).date().isoformat()
        self.collect(store, today)
        self.wait(store, group_of(today))
        assert self.look(instance, store) == "No answer has come late."

    def test_once_at_a_time(self, instance, store):
        self.collect(store, DAY)
        self.wait(store, group_of(DAY))
        begin(instance, "late_answers")
        assert self.look(instance, store) == "Late answers are being collected."
