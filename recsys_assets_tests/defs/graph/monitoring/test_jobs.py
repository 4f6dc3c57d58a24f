"""Answers on their way through the graph: out of the stream, and into a day that was collected."""

from datetime import UTC, datetime

import dagster as dg
import pyarrow as pa
import pytest
import redis

from recsys_assets.definitions import build_definitions
from recsys_assets.monitoring.answer_parts import AnswerParts
from recsys_assets.pipeline.request_log import STREAM
from recsys_assets.releases.release import Releases
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from recsys_assets_tests.serving.logged_answers import an_answer
from recsys_assets_tests.serving.tiny_release import publish_tiny_release

pytestmark = pytest.mark.integration
DAY = "2017-10-01"
NOON = int(datetime(2017, 10, 1, 12, tzinfo=UTC).timestamp())


def test_late_answers_join_their_day(tmp_path, valkey_url):
    settings = load_settings({"RECSYS_HOME": str(tmp_path), "RECSYS_ONLINE_STORE_URL": valkey_url})
    store = Store(settings.storage_url)
    store.table("users").write(pa.table({"user_id": ["ann"]}))
    publish_tiny_release(Releases(store))
    definitions = build_definitions(settings)
    with dg.DagsterInstance.ephemeral() as instance, redis.Redis.from_url(valkey_url) as client:

        def run(job, **options):
            return definitions.resolve_job_def(job).execute_in_process(instance=instance, **options)

        client.xadd(STREAM, an_answer("r1", timestamp=NOON).encode())
        assert run("late_answers", partition_key=DAY).success
        client.xadd(STREAM, an_answer("late", timestamp=NOON).encode())
        assert run("drain_answers").success
        assert client.xlen(STREAM) == 0
        assert AnswerParts(store).waiting() == {f"day={DAY}": 1}
        (event,) = run("late_answers", partition_key=DAY).get_asset_materialization_events()
    assert event.materialization.metadata["new"].value == 1
    found = store.table("request_log").read([DAY])["request_id"].to_pylist()
    assert sorted(found) == ["late", "r1"]
