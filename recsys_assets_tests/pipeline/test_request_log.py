import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import redis

from recsys_assets.pipeline.request_log import (
    STREAM,
    Answer,
    LogWriter,
    UnreadableEntry,
    connect,
    is_probe,
    new_request_id,
)
from recsys_assets.runtime.processes import Address
from recsys_assets.services.valkey import Valkey
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.serving.logged_answers import an_answer
from recsys_assets_tests.waiting import LIMIT, until


class Store:
    """The stream of a store that can be down."""

    def __init__(self):
        self.down = False
        self.hung = False
        self.entries = []

    def pipeline(self, transaction):
        return Pipeline(self)

    def xlen(self, stream):
        return len(self.entries)

    def ids(self):
        return [entry["id"] for entry in self.entries]


class Pipeline:
    def __init__(self, store):
        self._store = store
        self._staged = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def xadd(self, stream, fields):
        self._staged.append(fields)

    def xlen(self, stream):
        """Asked last."""

    def execute(self):
        while self._store.hung:
            time.sleep(0.01)
        if self._store.down:
            raise redis.ConnectionError("refused")
        self._store.entries += self._staged
        return [*self._staged, len(self._store.entries)]


def as_stored(fields):
    """What the store gives back: bytes."""
    return {
        name.encode(): value if isinstance(value, bytes) else str(value).encode()
        for name, value in fields.items()
    }


class TestEntry:
    def test_there_and_back(self):
        answer = an_answer("ünïque", degraded=True)
        decoded = Answer.decode(as_stored(answer.encode()))
        for name in ("request_id", "release", "timestamp", "answered_at", "degraded", "k"):
            assert getattr(decoded, name) == getattr(answer, name)
        assert decoded.context == answer.context
        for name in ("rows", "scores", "shown", "propensities"):
            assert getattr(decoded, name).tolist() == getattr(answer, name).tolist()

    def test_an_entry_of_a_release_that_did_not_log_propensities_has_none(self):
        fields = as_stored(an_answer().encode())
        del fields[b"propensities"]

        assert np.isnan(Answer.decode(fields).propensities).tolist() == [True, True]

    def test_no_candidates(self):
        empty = np.empty(0, dtype=np.int64)
        answer = an_answer(rows=empty, scores=empty.astype(np.float32), shown=empty)
        assert len(Answer.decode(as_stored(answer.encode())).rows) == 0

    def test_candidates_take_eight_bytes_each(self):
        rows = np.arange(300)
        fields = an_answer(rows=rows, scores=rows.astype(np.float32)).encode()
        assert len(fields["rows"]) + len(fields["scores"]) == 2400

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({b"rows": b"123"}, "rows has 3 bytes"),
            ({b"rows": b"1234"}, "scores holds 3 numbers for 1 rows"),
            ({b"shown": np.array([3], "<i4").tobytes()}, "shown points beyond the 3 candidates"),
            ({b"shown": np.array([-1], "<i4").tobytes()}, "shown points beyond"),
            ({b"propensities": b"1234"}, "propensities holds 1 numbers for 2 places"),
            ({b"timestamp": b"noon"}, "timestamp is b'noon', not a whole number"),
            ({b"id": b"\xff"}, "not UTF-8"),
            ({b"context": None}, "context is missing"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, changed, reason):
        fields = as_stored(an_answer().encode()) | changed
        fields = {name: value for name, value in fields.items() if value is not None}
        with pytest.raises(UnreadableEntry, match=reason):
            Answer.decode(fields)


class TestRequestId:
    def test_no_two_are_alike(self):
        assert len({new_request_id() for _ in range(1000)}) == 1000

    def test_probes_can_be_told_apart(self):
        assert is_probe(new_request_id(probe=True))
        assert not is_probe(new_request_id())


class TestWriter:
    def test_answers_arrive_in_their_order(self):
        store = Store()
        writer = LogWriter(store)
        for n in range(100):
            writer.put(an_answer(f"r{n}"))
        assert writer.close(LIMIT) == 0
        assert store.ids() == [f"r{n}" for n in range(100)]

    def test_what_waits_is_sent_on_closing(self):
        store = Store()
        writer = LogWriter(store)
        writer.put(an_answer())
        writer.close(LIMIT)
        assert store.ids() == ["r1"]

    def test_nothing_is_lost_in_an_outage(self):
        store = Store()
        store.down = True
        writer = LogWriter(store)
        for n in range(50):
            writer.put(an_answer(f"r{n}"))
        time.sleep(0.2)
        store.down = False
        until(lambda: len(store.entries) == 50)
        writer.close(LIMIT)
        assert store.ids() == [f"r{n}" for n in range(50)]

    def test_when_full_the_oldest_is_dropped_and_counted(self):
        store = Store()
        store.hung = True
        writer = LogWriter(store, capacity=10)
        writer.put(an_answer("in flight"))
        until(lambda: writer._sending)
        dropped = sum(writer.put(an_answer(f"r{n}")) for n in range(14))
        store.hung = False
        writer.close(LIMIT)
        assert dropped == 4
        assert store.ids() == ["in flight", *(f"r{n}" for n in range(4, 14))]

    def test_a_stream_that_nobody_collects_ends_to_grow_until_somebody_does(self, caplog):
        store = Store()
        writer = LogWriter(store, most_uncollected=2)
        for n in range(2):
            writer.put(an_answer(f"r{n}"))
        until(lambda: len(store.entries) == 2)
        writer.put(an_answer("too much"))
        until(lambda: writer._refused)
        assert "RECSYS_UNCOLLECTED_ANSWERS" in caplog.text
        store.entries.clear()
        assert [writer.put(an_answer(f"r{n}")) for n in (3, 4)] == [1, 0]
        writer.close(LIMIT)
        assert store.ids() == ["r3", "r4"]

    def test_taking_an_answer_never_waits_for_the_store(self):
        store = Store()
        store.hung = True
        writer = LogWriter(store)
        for n in range(1000):
            assert writer.put(an_answer(f"r{n}")) == 0
        assert store.entries == []
        store.hung = False
        assert writer.close(LIMIT) == 0

    def test_closing_tells_how_many_were_not_sent(self):
        store = Store()
        store.down = True
        writer = LogWriter(store)
        for n in range(5):
            writer.put(an_answer(f"r{n}"))
        assert writer.close(seconds=0.1) == 5

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_thread_that_died_is_replaced_and_nothing_is_lost(self, monkeypatch):
        store = Store()
        working = Pipeline.xadd

        def broken(self, stream, fields):
            raise MemoryError

        monkeypatch.setattr(Pipeline, "xadd", broken)
        writer = LogWriter(store)
        writer.put(an_answer("r1"))
        until(lambda: not writer._thread.is_alive())
        monkeypatch.setattr(Pipeline, "xadd", working)
        writer.put(an_answer("r2"))
        writer.close(LIMIT)
        assert store.ids() == ["r1", "r2"]


_WRITES_FOREVER = """
import sys
from recsys_assets.pipeline.request_log import LogWriter, connect
from recsys_assets_tests.serving.logged_answers import an_answer
client = connect(sys.argv[1])
writer = LogWriter(client)
for n in range(10**9):
    writer.put(an_answer(f"r{n}"))
    if n % 500 == 0:
        while writer._waiting or writer._sending:
            pass
        print(n, flush=True)
"""


@pytest.mark.integration
class TestWithValkey:
    def test_entries_are_read_as_they_were_written(self, valkey_url):
        writer = LogWriter(connect(valkey_url))
        writer.put(an_answer("r1"))
        writer.close(LIMIT)
        ((_, fields),) = redis.Redis.from_url(valkey_url).xrange(STREAM)
        assert Answer.decode(fields).scores.tolist() == [0.5, 2.5, 1.5]

    def test_a_killed_writer_loses_nothing_acknowledged(self, valkey_url):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITES_FOREVER, valkey_url],
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            acknowledged = [int(process.stdout.readline()) for _ in range(3)][-1]
            process.send_signal(signal.SIGKILL)
        entries = redis.Redis.from_url(valkey_url).xrange(STREAM)
        found = {fields[b"id"].decode() for _, fields in entries}
        assert {f"r{n}" for n in range(acknowledged + 1)} <= found

    def test_a_killed_store_forgets_nothing_acknowledged_and_gets_the_rest(self, tmp_path: Path):
        valkey = Valkey(Address("127.0.0.1", free_port()), tmp_path)
        url = f"redis://{valkey.address}/0"
        client = redis.Redis.from_url(url)
        try:
            valkey.start()
            writer = LogWriter(connect(url))
            for n in range(200):
                writer.put(an_answer(f"r{n}"))
            until(lambda: client.xlen(STREAM) == 200)
            subprocess.run(["kill", "-9", str(valkey.daemon.pid)], check=True)
            for n in range(200, 400):
                writer.put(an_answer(f"r{n}"))
            until(lambda: valkey.daemon.pid is None)
            valkey.start()
            until(lambda: client.xlen(STREAM) >= 400)
            assert writer.close(LIMIT) == 0
            found = {fields[b"id"].decode() for _, fields in client.xrange(STREAM)}
            assert found == {f"r{n}" for n in range(400)}
        finally:
            valkey.stop()
