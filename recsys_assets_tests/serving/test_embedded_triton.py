"""A real Triton and a real Valkey, with releases that need no trained models."""

import json
import re
import subprocess
import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import redis
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from recsys_assets.pipeline.item_changes import ItemChanges, off_sale_items
from recsys_assets.pipeline.seen_items import SeenItems
from recsys_assets.releases.release import Reason
from recsys_assets.rollout.canary import TemporaryServer, canaries, check_release
from recsys_assets.rollout.promotion import PromotionError, promote, rollback
from recsys_assets.services import deployment
from recsys_assets.services.valkey import Valkey
from recsys_assets.triton import model_processes
from recsys_assets.triton.client import RecommendClient
from recsys_assets.triton.repository import ON_GPU, PIPELINE
from recsys_assets.triton.server import TritonServer
from recsys_assets_tests.serving.fixtures import kill_processes
from recsys_assets_tests.serving.tiny_release import AT, publish_tiny_release
from recsys_assets_tests.waiting import until

pytestmark = pytest.mark.integration

BECAUSE = Reason("a test", "pytest")


@pytest.fixture
def first(releases, live):
    """The release that is live when the test begins."""
    promoted = releases.promoted()
    return (promoted or promote(releases, live, publish_tiny_release(releases))).release


@pytest.fixture
def client(running, first):
    with RecommendClient(running.triton_grpc) as client:
        yield client


@pytest.fixture
def store(running):
    return redis.Redis.from_url(running.online_store_url)


def release_that_answers(client):
    return client.recommend("ann", AT).release


def degraded_rows(running):
    """Rows counted so far; the processes tell with the first batch of a second."""
    url = f"http://{running.triton_metrics}/metrics"
    metrics = subprocess.run(["curl", "-sS", url], check=True, capture_output=True, text=True)
    counts = re.findall(r"^recsys_degraded_rows_total\{.*\} (\S+)$", metrics.stdout, re.M)
    return sum(map(float, counts))


class TestAnswers:
    def test_over_grpc(self, client, first):
        answer = client.recommend("ann", AT, device="web", k=7)
        assert len(answer.item_ids) == len(set(answer.item_ids)) == len(answer.scores) == 7
        assert answer.scores == sorted(answer.scores, reverse=True)
        assert answer.release == first
        assert not answer.degraded

    def test_over_http_the_same(self, client, running):
        with RecommendClient(running.triton_http, http=True) as over_http:
            assert over_http.recommend("ann", AT) == client.recommend("ann", AT)

    def test_over_http_with_curl(self, client, running):
        body = {
            "inputs": [
                {"name": "user_id", "shape": [1, 1], "datatype": "BYTES", "data": ["ann"]},
                {"name": "device", "shape": [1, 1], "datatype": "BYTES", "data": ["web"]},
                {"name": "timestamp", "shape": [1, 1], "datatype": "INT64", "data": [AT]},
                {"name": "k", "shape": [1, 1], "datatype": "INT32", "data": [3]},
            ]
        }
        url = f"http://{running.triton_http}/v2/models/recommend/infer"
        reply = subprocess.run(
            ["curl", "-sS", "-X", "POST", "-d", json.dumps(body), url],
            check=True,
            capture_output=True,
        )
        outputs = {output["name"]: output for output in json.loads(reply.stdout)["outputs"]}
        expected = client.recommend("ann", AT, device="web", k=3)
        assert outputs["item_id"]["data"] == expected.item_ids
        assert outputs["item_id"]["shape"] == [1, 3]
        assert outputs["score"]["datatype"] == "FP32"
        assert outputs["release"] == {
            "name": "release",
            "datatype": "INT64",
            "shape": [1, 1],
            "data": [expected.release],
        }
        assert outputs["degraded"]["data"] == [False]

    def test_features_from_the_online_store_reach_the_ranker(self, client, store):
        before = client.recommend("carl", AT)
        store.set("spend:carl", "1000")
        after = client.recommend("carl", AT)
        assert after.item_ids == before.item_ids
        assert np.array(after.scores) == pytest.approx(np.array(before.scores) + 1000)

    def test_bought_items_are_left_out(self, client, store):
        bought = client.recommend("dora", AT, k=200).item_ids
        SeenItems(store).replace_all({"dora": bought})
        assert not set(client.recommend("dora", AT, k=200).item_ids) & set(bought)

    def test_what_is_sold_out_leaves_every_slate_and_comes_back(
        self, client, store, running, first
    ):
        changes = ItemChanges(store)
        whole = client.recommend("erin", AT, k=5).item_ids
        changes.put({whole[0]: {"available": False}}, most=10)
        # Two processes answer in turn.
        until(lambda: all(whole[0] not in self.slate(client) for _ in range(20)))
        assert self.slate(client)[:4] == whole[1:]
        until(lambda: self.off_sale(running, first) == {1.0})
        changes.put({whole[0]: {"available": True}}, most=10)
        until(lambda: all(self.slate(client) == whole for _ in range(20)))

    def slate(self, client):
        return client.recommend("erin", AT, k=5).item_ids

    def off_sale(self, running, release):
        """Of each process of a release, as it has told last; asks, as they tell with a batch."""
        with RecommendClient(running.triton_grpc) as client:
            for _ in range(10):
                self.slate(client)
        url = f"http://{running.triton_metrics}/metrics"
        metrics = subprocess.run(["curl", "-sS", url], check=True, capture_output=True, text=True)
        told = rf'^recsys_items_off_sale\{{.*release="{release}".*\}} (\S+)$'
        return {float(value) for value in re.findall(told, metrics.stdout, re.M)}

    def test_unknown_and_anonymous_users_are_answered_by_context(self, client):
        for user in ("nobody has ever seen me", "", "☃" * 1000):
            here, there = (client.recommend(user, AT, device=d) for d in ("web", "mobile"))
            assert len(here.item_ids) == 10
            assert not here.degraded
            assert here.item_ids != there.item_ids

    def test_rows_of_a_batch_are_answered_as_if_alone(self, client, running):
        users = ["ann", "", "bob"]
        inputs = []
        for name, datatype, values in (
            ("user_id", "BYTES", np.array([[user.encode()] for user in users], dtype=object)),
            ("device", "BYTES", np.array([[b""]] * 3, dtype=object)),
            ("timestamp", "INT64", np.full((3, 1), AT)),
            ("k", "INT32", np.full((3, 1), 4, dtype=np.int32)),
        ):
            inputs.append(grpc.InferInput(name, [3, 1], datatype))
            inputs[-1].set_data_from_numpy(values)
        with grpc.InferenceServerClient(running.triton_grpc) as raw:
            rows = raw.infer("recommend", inputs).as_numpy("item_id")
        alone = [client.recommend(user, AT, k=4).item_ids for user in users]
        assert [[item.decode() for item in row] for row in rows] == alone


class TestBadRequests:
    @pytest.mark.parametrize("k", [0, -1, 201, 2**31 - 1])
    def test_absurd_k(self, client, k):
        with pytest.raises(InferenceServerException, match=f"k is {k}: ask for 1 to 200 items"):
            client.recommend("ann", AT, k=k)
        assert client.recommend("ann", AT).item_ids

    def test_a_missing_input(self, running, first):
        user = grpc.InferInput("user_id", [1, 1], "BYTES")
        user.set_data_from_numpy(np.array([[b"ann"]], dtype=object))
        with (
            grpc.InferenceServerClient(running.triton_grpc) as raw,
            pytest.raises(InferenceServerException, match="expected 4 inputs but got 1"),
        ):
            raw.infer("recommend", [user])

    def test_an_overlong_user_id(self, client):
        with pytest.raises(InferenceServerException, match="at most 4096 are accepted"):
            client.recommend("x" * 5000, AT)


class TestOutage:
    def test_answers_go_on_degraded_and_heal(self, client, running):
        valkey = Valkey.of(running)
        pid = valkey.daemon.pid
        try:
            subprocess.run(["kill", "-9", str(pid)], check=True)
            until(lambda: client.recommend("ann", AT).degraded)
            answers = [client.recommend("ann", AT) for _ in range(100)]
            assert all(answer.degraded and len(answer.item_ids) == 10 for answer in answers)
            assert not client.recommend("", AT).degraded
            assert deployment.status(running)[1].state == "degraded"
            until(lambda: client.recommend("ann", AT) and degraded_rows(running) > 100)
        finally:
            valkey.start()
        # Each process finds out for itself.
        for _ in range(10):
            until(lambda: not client.recommend("ann", AT).degraded)
        until(lambda: {service.state for service in deployment.status(running)} == {"healthy"})


class TestDeadModelProcess:
    def test_it_is_noticed_and_up_heals_it(self, client, running, first):
        kill_processes(running, first)
        until(lambda: deployment.status(running)[1].state == "failing")
        assert "`recsys up`" in deployment.status(running)[1].detail
        deployment.up(running)
        assert deployment.status(running)[1].state == "healthy"
        assert len(client.recommend("ann", AT).item_ids) == 10


class TestPromotion:
    def test_forth_and_back(self, client, releases, live, first):
        second = publish_tiny_release(releases)
        promoted = promote(releases, live, second)
        assert (promoted.release, promoted.previous) == (second, first)
        assert release_that_answers(client) == second
        assert rollback(releases, live, BECAUSE).release == first
        assert release_that_answers(client) == first

    def test_a_release_that_cannot_be_loaded_changes_nothing(self, client, releases, live, first):
        serving = releases.promoted()
        broken = publish_tiny_release(releases, broken=True)
        with pytest.raises(PromotionError, match=f"release {broken} cannot be served"):
            promote(releases, live, broken)
        assert release_that_answers(client) == serving.release
        assert releases.promoted() == serving

    def test_under_load_no_request_fails_and_none_mixes_releases(
        self, running, releases, live, first
    ):
        promote(releases, live, publish_tiny_release(releases))
        outcomes: Counter[str] = Counter()
        done = threading.Event()

        def ask(number: int) -> None:
            with RecommendClient(running.triton_grpc) as client:
                while not done.is_set():
                    try:
                        answer = client.recommend(f"user {number}", AT)
                    except InferenceServerException as error:
                        outcomes[f"failed: {error}"] += 1
                        continue
                    of_release = {int(item.split("-")[0]) for item in answer.item_ids}
                    outcomes["sound" if of_release == {answer.release} else "mixed"] += 1

        clients = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in clients:
            thread.start()
        switched = []
        for _ in range(2):
            switched.append(promote(releases, live, publish_tiny_release(releases)).release)
            time.sleep(0.5)
            switched.append(rollback(releases, live, BECAUSE).release)
            time.sleep(0.5)
        done.set()
        for thread in clients:
            thread.join()
        assert set(outcomes) == {"sound"}
        assert outcomes["sound"] > 100
        assert len(set(switched)) == 3

    def test_only_the_last_two_releases_stay_in_the_repository(self, releases, live, first):
        promoted = [promote(releases, live, publish_tiny_release(releases)) for _ in range(2)][-1]
        folders = (live.repository / PIPELINE).iterdir()
        found = {path.name for path in folders if path.is_dir()}
        assert found == {str(promoted.release), str(promoted.previous)}

    def test_a_restarted_server_serves_what_was_promoted(self, running, releases, first):
        TritonServer.of(running).stop()
        assert deployment.status(running)[1].state == "stopped"
        deployment.up(running)
        with RecommendClient(running.triton_grpc) as client:
            assert release_that_answers(client) == releases.promoted().release

    def test_up_again_finds_everything_running(self, running, first):
        before = [service.pid for service in deployment.status(running)]
        assert [service.pid for service in deployment.up(running)] == before


def canary_runs(running):
    repository = TritonServer.of(running).folder / "canary" / "models"
    return model_processes.server_of(repository) is not None


class TestCanary:
    def test_a_sound_release_passes(self, running, releases, store):
        release = publish_tiny_release(releases)
        bought = {"ann": [f"{release}-1", f"{release}-2"]}
        SeenItems(store).replace_all(bought)
        server = TemporaryServer(TritonServer.of(running))
        report = check_release(releases, release, server, canaries(bought), AT)
        assert report.faulty == ()
        assert len(report.findings) == 15
        assert 0 < report.latency["latency_ms_p50"] <= report.latency["latency_ms_p99"]
        assert not canary_runs(running)

    def test_of_a_shop_that_has_sold_out_of_most_a_sound_release_passes(
        self, running, releases, store
    ):
        release = publish_tiny_release(releases)
        server, changes = TemporaryServer(TritonServer.of(running)), ItemChanges(store)
        sold_out = [f"{release}-{row}" for row in range(30, 1000)]
        changes.put({item: {"available": False} for item in sold_out}, most=1000)
        told = off_sale_items(running.online_store_url)
        assert told == {*sold_out}

        report = check_release(releases, release, server, canaries({}), AT, told)
        untold = check_release(releases, release, server, canaries({}), AT)

        changes.put({item: {"available": True} for item in sold_out}, most=1000)
        assert report.faulty == ()
        faults = {fault for finding in untold.findings for fault in finding.faults}
        assert faults == {"30 items instead of 37", "30 items instead of 200"}

    def test_bought_items_in_an_answer_are_found(self, running, releases, store):
        release = publish_tiny_release(releases)
        bought = {"ann": [f"{release}-{row}" for row in range(1000)]}
        SeenItems(store).replace_all({})
        server = TemporaryServer(TritonServer.of(running))
        report = check_release(releases, release, server, canaries(bought), AT)
        faults = {fault for finding in report.findings for fault in finding.faults}
        assert report.latency == {}
        assert "10 items that the user has bought" in faults

    def test_a_release_that_cannot_be_loaded_is_found(self, running, releases):
        release = publish_tiny_release(releases, broken=True)
        server = TemporaryServer(TritonServer.of(running))
        (finding,) = check_release(releases, release, server, canaries({}), AT).findings
        assert "cannot be served" in finding.faults[0]
        assert not canary_runs(running)


class TestGpus:
    def test_a_server_without_one_refuses_a_release_for_it_and_goes_on(
        self, client, releases, live
    ):
        serving = release_that_answers(client)
        release = publish_tiny_release(releases)
        with pytest.raises(PromotionError, match=rf"{release} cannot .* no GPUs are available"):
            promote(releases, replace(live, kind=ON_GPU), release, BECAUSE)
        assert release_that_answers(client) == serving
        assert promote(releases, live, release, BECAUSE).release == release
