"""What a real Triton answers is in the request log of a real Valkey, whatever is killed."""

import json
import re
import subprocess
import threading
import time
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
import redis
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from recsys_assets.monitoring.request_log import TABLE, Collector
from recsys_assets.pipeline.request_log import STREAM, Answer
from recsys_assets.rollout.promotion import promote
from recsys_assets.services import deployment
from recsys_assets.services.valkey import Valkey
from recsys_assets.triton.client import RecommendClient
from recsys_assets.triton.server import TritonServer
from recsys_assets_tests.serving.fixtures import kill_processes
from recsys_assets_tests.serving.tiny_release import AT, publish_tiny_release
from recsys_assets_tests.waiting import until

pytestmark = pytest.mark.integration

DAY = datetime.fromtimestamp(AT, UTC).date().isoformat()


@pytest.fixture(scope="module")
def releases(running):
    releases = deployment.releases(running)
    releases.store.table("users").write(pa.table({"user_id": ["ann"]}))
    promote(releases, deployment.embedded_server(running), publish_tiny_release(releases))
    return releases


@pytest.fixture
def store(running, releases):
    """The stream's store, with an empty stream."""
    client = redis.Redis.from_url(running.online_store_url)
    time.sleep(0.2)  # answers of the test before may be on their way
    client.delete(STREAM)
    return client


@pytest.fixture
def client(running, store):
    with RecommendClient(running.triton_grpc) as client:
        yield client


def logged(store, count):
    """The first `count` answers, once they are there."""
    until(lambda: store.xlen(STREAM) >= count)
    return [Answer.decode(fields) for _, fields in store.xrange(STREAM)]


class TestWhatIsLogged:
    def test_the_whole_answer(self, client, store, releases):
        before = time.time_ns() // 1000
        given = client.recommend("ann", AT, device="web", k=5)
        (answer,) = logged(store, 1)
        assert answer.request_id == given.request_id
        assert (answer.release, answer.timestamp, answer.k) == (given.release, AT, 5)
        assert not answer.degraded
        assert before < answer.answered_at < time.time_ns() // 1000
        assert json.loads(answer.context)["user_id"] == "ann"
        assert json.loads(answer.context)["device"] == "web"
        shown = [f"{given.release}-{row}" for row in answer.rows[answer.shown]]
        assert shown == given.item_ids
        assert answer.scores[answer.shown].tolist() == given.scores
        assert len(answer.rows) == 100

    def test_a_request_keeps_the_id_of_its_client(self, client, store):
        client.recommend("ann", AT, request_id="mine")
        assert logged(store, 1)[0].request_id == "mine"

    def test_over_http_too(self, running, store):
        with RecommendClient(running.triton_http, http=True) as client:
            given = client.recommend("ann", AT)
        assert logged(store, 1)[0].request_id == given.request_id

    def test_a_request_without_an_id_gets_one_and_rows_of_a_batch_are_numbered(
        self, running, store
    ):
        inputs = []
        for name, datatype, values in (
            ("user_id", "BYTES", np.array([[b"ann"], [b"bob"]], dtype=object)),
            ("device", "BYTES", np.array([[b""]] * 2, dtype=object)),
            ("timestamp", "INT64", np.full((2, 1), AT)),
            ("k", "INT32", np.full((2, 1), 4, dtype=np.int32)),
        ):
            inputs.append(grpc.InferInput(name, [2, 1], datatype))
            inputs[-1].set_data_from_numpy(values)
        with grpc.InferenceServerClient(running.triton_grpc) as raw:
            raw.infer("recommend", inputs)
        first, second = (answer.request_id for answer in logged(store, 2))
        assert first[:-2] == second[:-2]
        assert len(first) == 34
        assert (first[-2:], second[-2:]) == ("#0", "#1")

    def test_probes_are_not_logged(self, running, client, store):
        with RecommendClient(running.triton_grpc, probe=True) as probing:
            probing.recommend("ann", AT)
        client.recommend("ann", AT, request_id="traffic")
        assert [answer.request_id for answer in logged(store, 1)] == ["traffic"]

    def test_a_refused_request_is_not_logged(self, client, store):
        with pytest.raises(InferenceServerException):
            client.recommend("ann", AT, k=0)
        client.recommend("ann", AT, request_id="good")
        assert [answer.request_id for answer in logged(store, 1)] == ["good"]

    def test_a_model_that_is_unloaded_sends_what_it_holds(self, running, client, store, releases):
        given = [client.recommend("ann", AT).request_id for _ in range(20)]
        TritonServer.of(running).stop()
        try:
            assert sorted(answer.request_id for answer in logged(store, 20)) == sorted(given)
        finally:
            deployment.up(running)

    def test_what_is_dropped_would_be_counted(self, running, client):
        url = f"http://{running.triton_metrics}/metrics"
        metrics = subprocess.run(["curl", "-sS", url], check=True, capture_output=True, text=True)
        counts = re.findall(r"^recsys_unlogged_answers_total\{.*\} (\S+)$", metrics.stdout, re.M)
        assert [float(count) for count in counts] == [0.0]


class TestFaults:
    def collected(self, store, releases):
        Collector(store, releases).collect(DAY)
        return releases.store.table(TABLE).read([DAY])["request_id"].to_pylist()

    def test_the_model_processes_are_killed_with_requests_in_flight(
        self, running, client, store, releases
    ):
        acknowledged = [client.recommend("ann", AT).request_id for _ in range(50)]
        logged(store, 50)
        done, asked = threading.Event(), []

        def ask():
            with RecommendClient(running.triton_grpc) as client:
                while not done.is_set():
                    request_id = f"in flight {len(asked)}"
                    asked.append(request_id)
                    try:
                        client.recommend("bob", AT, request_id=request_id)
                    except InferenceServerException:
                        continue

        clients = [threading.Thread(target=ask) for _ in range(2)]
        for thread in clients:
            thread.start()
        until(lambda: len(asked) > 50)
        kill_processes(running, releases.promoted().release)
        until(lambda: deployment.status(running)[1].state == "failing")
        done.set()
        for thread in clients:
            thread.join()
        deployment.up(running)
        after = [client.recommend("ann", AT).request_id for _ in range(20)]
        until(lambda: after[-1] in [a.request_id for a in logged(store, 1)])
        found = self.collected(store, releases)
        assert set(acknowledged) | set(after) <= set(found)
        assert len(found) == len(set(found))

    def test_the_store_is_restarted(self, running, client, store, releases):
        valkey = Valkey.of(running)
        given = [client.recommend("ann", AT).request_id for _ in range(50)]
        subprocess.run(["kill", "-9", str(valkey.daemon.pid)], check=True)
        given += [client.recommend("ann", AT).request_id for _ in range(50)]
        valkey.start()
        given += [client.recommend("ann", AT).request_id for _ in range(50)]
        until(lambda: {a.request_id for a in logged(store, 1)} >= set(given))
        found = self.collected(store, releases)
        assert set(given) <= set(found)
        assert len(found) == len(set(found))
        assert store.xlen(STREAM) == 0
