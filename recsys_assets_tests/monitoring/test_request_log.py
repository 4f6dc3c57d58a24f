import base64
import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.monitoring import answer_parts, answer_stream, request_log
from recsys_assets.monitoring import answer_parts as answer_merging
from recsys_assets.monitoring.answer_parts import AnswerParts, group_of
from recsys_assets.monitoring.answer_table import COLUMNS
from recsys_assets.monitoring.request_log import REJECTED, TABLE, Collector, schema
from recsys_assets.pipeline.request_log import STREAM
from recsys_assets.releases.release import Releases
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import open_file
from recsys_assets_tests.serving.logged_answers import ASKED, an_answer
from recsys_assets_tests.serving.tiny_release import item_ids, publish_tiny_release

DAY, DAY_BEFORE, DAY_AFTER = "2025-03-01", "2025-02-28", "2025-03-02"
A_DAY = 86_400


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A store with users and two releases."""
    store = Store(tmp_path_factory.mktemp("store").as_uri())
    store.table("users").write(pa.table({"user_id": ["ann"], "age": ["30-39"]}))
    releases = Releases(store)
    assert [publish_tiny_release(releases) for _ in range(2)] == [1, 2]
    return releases


class Log:
    """The log's two ends, for tests: put answers in the stream, collect, look at the table."""

    def __init__(self, client, releases):
        self.client, self.releases, self.store = client, releases, releases.store

    def put(self, *answers):
        for answer in answers:
            self.client.xadd(STREAM, answer.encode())

    def collector(self, **options):
        return Collector(self.client, self.releases, **options)

    def collect(self, day=DAY, **options):
        return self.collector(**options).collect(day)

    def waiting(self):
        """Answers that are in no partition yet, by day; none of them is in the stream."""
        assert self.client.xlen(STREAM) == 0
        return dict(AnswerParts(self.store).waiting())

    def rows(self, day=DAY):
        return self.store.table(TABLE).read([day]).to_pylist()

    def ids(self, day=DAY):
        return sorted(row["request_id"] for row in self.rows(day))

    def rejected(self, day=DAY):
        return self.store.table(REJECTED).read([day]).to_pylist()


@pytest.fixture
def log(valkey_url, published):
    log = Log(redis.Redis.from_url(valkey_url), published)
    yield log
    folder = Path(log.store.url.removeprefix("file://"))
    for left in ("answers", f"tables/{TABLE}", f"tables/{REJECTED}"):
        shutil.rmtree(folder / left, ignore_errors=True)


class TestSchema:
    def test_every_online_feature_of_a_user_has_a_column(self, published):
        columns = schema(published.store)
        assert columns.names == [*COLUMNS.names, "age", *USER_FEATURES.columns]
        assert columns.field("age").type == pa.string()
        assert columns.field("top_category_7d").type == pa.string()
        assert columns.field("purchases_7d").type == pa.float64()

    def test_an_attribute_cannot_have_the_name_of_another_column(self, tmp_path):
        store = Store(tmp_path.as_uri())
        store.table("users").write(pa.table({"user_id": ["ann"], "scores": ["high"]}))
        with pytest.raises(ValueError, match="attribute 'scores', which is a column"):
            schema(store)


@pytest.mark.integration
class TestCollect:
    def test_an_answer_becomes_a_row(self, log):
        context = {
            "user_id": "ann",
            "device": "web",
            "age": "30-39",
            "spend_7d": 12.5,
            "spend_28d": float("nan"),
            "top_category_7d": "",
        }
        chances = np.array([1, np.nan], dtype=np.float32)
        log.put(an_answer("r1", context=context, release=2, propensities=chances))
        collected = log.collect()
        assert (collected.rows, collected.new, collected.waiting) == (1, 1, 0)
        assert log.store.table(TABLE).read([DAY]).schema == schema(log.store)
        (row,) = log.rows()
        assert row["timestamp"] == datetime(2025, 3, 1, 10, tzinfo=UTC)
        assert row["answered_at"] == datetime(2025, 3, 1, 10, 0, 0, 250_000, UTC)
        assert (row["request_id"], row["release"], row["k"]) == ("r1", 2, 2)
        assert (row["user_id"], row["device"], row["degraded"]) == ("ann", "web", False)
        ids = item_ids(2)
        assert row["item_ids"] == [ids[3], ids[7]]
        assert (row["scores"], row["propensities"]) == ([2.5, 0.5], [1.0, None])
        assert row["candidate_ids"] == [ids[3], ids[9], ids[7]]
        assert row["candidate_scores"] == [2.5, 1.5, 0.5]
        assert (row["age"], row["spend_7d"]) == ("30-39", 12.5)
        assert row["spend_28d"] is row["top_category_7d"] is row["purchases_7d"] is None

    def test_answers_of_several_releases(self, log):
        log.put(an_answer("r2", release=2), an_answer("r1", release=1))
        log.collect()
        firsts = {row["request_id"]: row["item_ids"][0] for row in log.rows()}
        assert firsts == {"r1": item_ids(1)[3], "r2": item_ids(2)[3]}

    def test_without_requests_the_partition_is_empty(self, log):
        assert log.collect().rows == 0
        assert log.store.table(TABLE).read([DAY]).schema == schema(log.store)

    def test_answers_of_other_days_wait_for_theirs_and_not_in_the_stream(self, log):
        log.put(
            an_answer("before", timestamp=ASKED - A_DAY),
            an_answer("now"),
            an_answer("after", timestamp=ASKED + A_DAY),
        )
        assert log.collect().waiting == 2
        assert log.ids() == ["now"]
        assert log.waiting() == {f"day={DAY_BEFORE}": 1, f"day={DAY_AFTER}": 1}
        assert log.collect(DAY_BEFORE).waiting == 1
        assert log.ids(DAY_BEFORE) == ["before"]
        assert log.waiting() == {f"day={DAY_AFTER}": 1}

    def test_answers_of_a_day_that_is_never_collected_wait_for_nothing(self, log):
        log.put(an_answer("before", timestamp=ASKED - A_DAY), an_answer("now"))
        collected = log.collect(days=(DAY, DAY_AFTER))
        assert (collected.rows, collected.rejected, collected.waiting) == (1, 1, 0)
        assert (
            "timestamp is of 2025-02-28, a day that is never collected: 2025-03-01 to"
            in (log.rejected()[0]["reason"])
        )
        assert log.waiting() == {}

    def test_the_day_is_that_of_the_request_however_the_clock_was_set(self, log):
        log.put(
            an_answer("r1", answered_at=(ASKED + 60) * 1_000_000),
            an_answer("r2", answered_at=(ASKED - 3 * A_DAY) * 1_000_000),
            an_answer("r3", timestamp=ASKED - A_DAY, answered_at=ASKED * 1_000_000),
        )
        log.collect()
        log.collect(DAY_BEFORE)
        assert log.ids() == ["r1", "r2"]
        assert log.ids(DAY_BEFORE) == ["r3"]

    def test_midnight_belongs_to_the_day_that_begins(self, log):
        midnight = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp())
        log.put(an_answer("last", timestamp=midnight - 1), an_answer("first", timestamp=midnight))
        log.collect()
        assert log.ids() == ["first"]

    def test_more_answers_than_one_page(self, log):
        log.put(*(an_answer(f"r{n}") for n in range(1201)))
        assert log.collect().rows == 1201
        assert log.client.xlen(STREAM) == 0

    def test_however_many_there_are_few_are_held_at_once(self, log, monkeypatch):
        for module in (answer_stream, answer_merging, answer_parts):
            monkeypatch.setattr(module, "ROWS", 100)
        log.put(*(an_answer(f"r{n:03}") for n in range(950)))
        log.collector().drain()
        assert [part.rows for part in AnswerParts(log.store).of(group_of(DAY))] == [100] * 9 + [50]
        assert log.collect().rows == 950
        with open_file(log.store.table(TABLE).path(DAY)) as source:
            file = pq.ParquetFile(source).metadata
        assert max(file.row_group(n).num_rows for n in range(file.num_row_groups)) == 100
        assert log.ids() == [f"r{n:03}" for n in range(950)]

    def test_what_was_drained_before_is_collected_with_the_rest(self, log):
        log.put(an_answer("r1"))
        assert log.collector().drain().answers == {DAY: 1}
        assert log.waiting() == {f"day={DAY}": 1}
        log.put(an_answer("r2"))
        assert log.collect().new == 2
        assert log.ids() == ["r1", "r2"]

    def test_columns_that_have_come_or_gone_since_are_null_or_kept(self, log):
        users = log.store.table("users")
        there = users.read()
        log.put(an_answer("r1", context={"user_id": "ann", "device": "", "age": "30-39"}))
        log.collect()
        users.write(pa.table({"user_id": ["ann"], "town": ["Ulm"]}))
        try:
            log.put(an_answer("r2", context={"user_id": "ann", "device": "", "town": "Ulm"}))
            log.collect()
        finally:
            users.write(there)
        found = {row["request_id"]: (row["age"], row["town"]) for row in log.rows()}
        assert found == {"r1": ("30-39", None), "r2": (None, "Ulm")}


@pytest.mark.integration
class TestAtLeastOnce:
    def test_what_was_sent_twice_is_there_once(self, log):
        log.put(an_answer("r1"), an_answer("r2"), an_answer("r1"))
        collected = log.collect()
        assert (collected.rows, collected.duplicates) == (2, 1)
        assert log.client.xlen(STREAM) == 0

    def test_of_two_answers_to_a_request_the_earliest_stays(self, log):
        late, early = (ASKED + 9) * 1_000_000, (ASKED + 1) * 1_000_000
        log.put(an_answer(answered_at=late), an_answer(answered_at=early))
        log.collect()
        assert log.rows()[0]["answered_at"].second == 1

    def test_collecting_again_changes_nothing(self, log):
        log.put(an_answer("r1"))
        log.collect()
        before = log.rows()
        again = log.collect()
        assert (again.rows, again.new) == (1, 0)
        assert log.rows() == before

    def test_a_late_answer_joins_its_day(self, log):
        log.put(an_answer("r1"))
        log.collect()
        log.put(an_answer("late"), an_answer("r1"))
        collected = log.collect()
        assert (collected.rows, collected.new, collected.duplicates) == (2, 1, 1)
        assert log.ids() == ["late", "r1"]

    @pytest.mark.parametrize(
        "patched",
        [
            pytest.param("client.xtrim", id="before the stream is cut"),
            pytest.param("request_log.answer_parts.rewrite", id="before the partition is there"),
            pytest.param("request_log.AnswerParts.delete", id="before its parts are gone"),
        ],
    )
    def test_killed(self, log, valkey_url, patched):
        log.put(an_answer("r1"), an_answer("r2"), an_answer("r2", timestamp=ASKED + 1))
        script = f"""
import os, redis, signal
from recsys_assets.monitoring import request_log
from recsys_assets.releases.release import Releases
from recsys_assets.storage import Store
client = redis.Redis.from_url({valkey_url!r})
def killed(*_, **__):
    client.pexpire(request_log._LOCK, 1000)  # the next one need not wait for the whole lease
    os.kill(os.getpid(), signal.SIGKILL)
{patched} = killed
store = Store({log.store.url!r})
request_log.Collector(client, Releases(store)).collect({DAY!r})
"""
        killed = subprocess.run([sys.executable, "-c", script])
        assert killed.returncode == -signal.SIGKILL
        log.put(an_answer("r3"))
        collected = log.collect()
        assert collected.rows == 3
        assert log.ids() == ["r1", "r2", "r3"]
        assert len(log.rejected()) == 1
        assert log.waiting() == {}

    def test_a_write_that_fails_leaves_the_stream_as_it_is(self, log, monkeypatch):
        log.put(an_answer("r1"))

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(answer_parts, "replacing", full)
        with pytest.raises(OSError, match="No space left"):
            log.collect()
        assert log.client.xlen(STREAM) == 1
        monkeypatch.undo()
        assert log.collect().new == 1
        assert log.waiting() == {}

    def test_two_runs_at_once_lose_nothing(self, log):
        log.put(*(an_answer(f"r{n}") for n in range(300)))

        def one_more(n):
            log.put(an_answer(f"late{n}"))
            log.collect()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one_more, range(8)))
        assert len(log.ids()) == len(set(log.ids())) == 308

    def test_a_run_that_never_ends_is_named(self, log):
        log.client.lock(f"{STREAM}:collecting", timeout=600).acquire()
        with pytest.raises(
            request_log.CollectionBusy, match="collecting of another run: raise RECSYS_WAIT_SECONDS"
        ):
            log.collect(wait_seconds=0.2)


@pytest.mark.integration
class TestUnreadable:
    def test_it_is_kept_with_its_reason_and_all_it_holds(self, log):
        log.client.xadd(STREAM, {"id": "r1", "rows": b"\xff\x00"})
        log.put(an_answer("r2"))
        collected = log.collect()
        assert (collected.rows, collected.rejected) == (1, 1)
        (rejected,) = log.rejected()
        assert rejected["reason"] == "rows has 2 bytes, not a multiple of 4"
        entry = {k: base64.b64decode(v) for k, v in json.loads(rejected["entry"]).items()}
        assert entry == {"id": b"r1", "rows": b"\xff\x00"}
        assert log.client.xlen(STREAM) == 0

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"release": 99}, "release 99 does not exist"),
            ({"rows": np.array([1, 2, 1000])}, "beyond the 1000 items of release 1"),
            ({"context": b"[]"}, "not a JSON object"),
            ({"context": b"{"}, "not JSON"),
            ({"context": b'{"user_id": "ann"}'}, "context has no device"),
            (
                {"context": b'{"user_id": "ann", "device": "", "spend_7d": "much"}'},
                "context column 'spend_7d' is 'much': number expected",
            ),
            (
                {"context": b'{"user_id": "ann", "device": "", "age": [1]}'},
                "context column 'age' is [1], not text or number",
            ),
            ({"timestamp": 10**17}, "not epoch seconds"),
        ],
    )
    def test_reasons(self, log, changed, reason):
        log.put(an_answer(**changed))
        log.put(an_answer("sound"))
        assert log.collect().rejected == 1
        assert reason in log.rejected()[0]["reason"]
        assert log.ids() == ["sound"]

    def test_an_id_that_a_client_uses_for_several_requests_hides_none(self, log):
        log.put(an_answer("1"), an_answer("1", timestamp=ASKED + 1))
        collected = log.collect()
        assert (collected.rows, collected.duplicates, collected.rejected) == (1, 0, 1)
        (rejected,) = log.rejected()
        assert "is that of another request" in rejected["reason"]
        entry = json.loads(rejected["entry"])
        assert (entry["request_id"], entry["timestamp"]) == ("1", "2025-03-01 10:00:01+00:00")
        assert entry["candidate_ids"] == [item_ids(1)[n] for n in (3, 9, 7)]

    def test_a_context_column_that_is_no_feature_any_more_is_named(self, log):
        log.put(an_answer(context={"user_id": "ann", "device": "", "gone": 1.0}))
        assert log.collect().unknown_columns == ("gone",)
        assert "gone" not in log.rows()[0]
