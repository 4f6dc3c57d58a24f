"""Two pods and a canary pod over one store: promoted, broken and healed while clients ask."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from recsys_assets.releases.release import Reason
from recsys_assets.releases.release_writing import CorruptRelease
from recsys_assets.rollout.agents import PodState
from recsys_assets.rollout.canary import canaries, check_release
from recsys_assets.rollout.fleet import CanaryPods
from recsys_assets.rollout.guard import Guard
from recsys_assets.rollout.promotion import (
    GuardTripped,
    PromotionError,
    promote,
    promote_approved,
    promote_watched,
    rollback,
)
from recsys_assets.services import deployment
from recsys_assets.triton import model_processes
from recsys_assets.triton.client import RecommendClient
from recsys_assets_tests.serving.fixtures import kill_processes
from recsys_assets_tests.serving.pods import LARGE, Pod, fleet_of, shop_in, storefront
from recsys_assets_tests.serving.tiny_release import (
    AT,
    FAILS_FOR_ANN,
    FAILS_FOR_USERS,
    publish_tiny_release,
)
from recsys_assets_tests.waiting import ended, until

pytestmark = pytest.mark.integration

BECAUSE = Reason("a test", "pytest")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with shop_in(tmp_path_factory.mktemp("shop")) as settings:
        yield settings


@pytest.fixture(scope="module")
def releases(shop):
    return deployment.releases(shop)


@pytest.fixture(scope="module")
def all_pods(tmp_path_factory, shop, releases):
    """Two pods that serve a first release, and a canary pod."""
    releases.record(publish_tiny_release(releases), (), BECAUSE)
    made = [Pod.new(tmp_path_factory.mktemp("pod"), shop) for _ in range(3)]
    try:
        for pod in made[:2]:
            pod.start()
        made[2].start("--follow", "newest")
        yield made
    finally:
        for pod in made:
            pod.stop()


@pytest.fixture
def pods(all_pods, releases):
    """Both pods, ready with what is live: whatever a test has broken, they heal by themselves."""
    live = releases.promoted().release
    for pod in all_pods[:2]:
        until(lambda pod=pod: pod.is_ready() and pod.serves(live))
    return all_pods[:2]


@pytest.fixture
def canary(all_pods):
    return all_pods[2]


@pytest.fixture
def fleet(pods, canary):
    return fleet_of(pods, [canary])


def answering(pod):
    with RecommendClient(pod.settings.triton_grpc, probe=True) as client:
        return client.recommend("ann", AT).release


def flip_last_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.unlink()  # hard links to it keep what they hold
    file.write_bytes(data)


class TestPromotion:
    def test_no_request_fails_and_all_pods_agree_at_the_end(self, pods, fleet, releases, canary):
        before, release = releases.promoted().release, publish_tiny_release(releases)
        releases.approve(release)
        with storefront(pods) as outcomes:
            guard = Guard(2.0, ("ann",))
            promoted = promote_approved(releases, fleet, None, BECAUSE, guard)
            assert [pod.state().serving for pod in (*pods, canary)] == [release] * 3
        assert set(outcomes) == {"sound"}
        assert (promoted.release, promoted.previous) == (release, before)
        assert [answering(pod) for pod in pods] == [release] * 2
        assert [pod.state() for pod in pods] == [
            PodState(pod.address, release, release, grpc=pod.settings.triton_grpc) for pod in pods
        ]

    @pytest.mark.slow
    def test_a_rollback_is_the_same_with_the_earlier_release(self, pods, fleet, releases):
        earlier = releases.promoted().release
        later = promote(releases, fleet, publish_tiny_release(releases), BECAUSE).release
        with storefront(pods) as outcomes:
            started = time.monotonic()
            assert rollback(releases, fleet, BECAUSE).release == earlier
            seconds = time.monotonic() - started
        print(f"rolled back over the fleet in {seconds:.1f} s")  # noqa: T201 - a measured figure
        assert set(outcomes) == {"sound"}
        assert [answering(pod) for pod in pods] == [earlier] * 2
        assert releases.rejection(later) == "rolled back: a test"

    def test_what_is_live_can_be_promoted_again(self, pods, fleet, releases):
        serving = releases.promoted()
        assert promote(releases, fleet, serving.release, BECAUSE) == serving


class TestBadRelease:
    def test_a_corrupt_one_is_refused_by_name_and_never_answers(
        self, pods, fleet, releases, canary
    ):
        serving, bad = releases.promoted(), publish_tiny_release(releases)
        flip_last_byte(releases.fetch(bad) / f"models/pipeline/{bad}/vectors.npy")
        with (
            storefront(pods) as outcomes,
            pytest.raises(CorruptRelease, match=rf"pipeline/{bad}/vectors\.npy is not what"),
        ):
            promote(releases, fleet, bad, BECAUSE)
        assert set(outcomes) == {"sound"}
        assert releases.promoted() == serving
        assert [answering(pod) for pod in pods] == [serving.release] * 2
        releases.reject(bad, "corrupt")
        until(lambda: canary.is_ready() and canary.state().error == "")

    def test_one_that_does_not_load_stops_at_the_canary(self, pods, fleet, releases, canary):
        serving, bad = releases.promoted(), publish_tiny_release(releases, broken=True)
        with pytest.raises(
            PromotionError, match=f"canary pods do not serve .*release {bad} cannot be"
        ):
            promote(releases, fleet, bad, BECAUSE)
        assert releases.promoted() == serving
        assert canary.is_ready()
        releases.reject(bad, "it does not load")
        until(lambda: canary.state().wanted != bad and canary.state().error == "")

    @pytest.mark.slow
    def test_forced_past_the_canary_it_answers_nobody_and_is_taken_back(
        self, pods, fleet, releases
    ):
        serving, bad = releases.promoted(), publish_tiny_release(releases, broken=True)
        releases.reject(bad, "it does not load")
        with (
            storefront(pods) as outcomes,
            pytest.raises(PromotionError, match=f"Release {serving.release} is live again") as told,
        ):
            promote(releases, fleet, bad, BECAUSE)
        assert set(outcomes) == {"sound"}
        assert all(pod.address in str(told.value) for pod in pods)
        assert (releases.promoted().release, releases.promoted().action) == (
            serving.release,
            "rolled back",
        )

    @pytest.mark.slow
    def test_one_that_fails_its_users_stops_at_the_canary(self, pods, fleet, releases, canary):
        bad = publish_tiny_release(releases, code=FAILS_FOR_USERS)
        with pytest.raises(
            PromotionError, match=r"canary pods .* a ranker that fails for everybody"
        ):
            promote(releases, fleet, bad, BECAUSE)
        releases.reject(bad, "it fails everybody")
        until(lambda: canary.is_ready() and canary.state().error == "")

    def test_one_that_fails_some_users_is_taken_back_everywhere(self, pods, fleet, releases):
        serving = releases.promoted().release
        bad = publish_tiny_release(releases, code=FAILS_FOR_ANN)
        with pytest.raises(GuardTripped, match="a ranker that fails for everybody"):
            promote_watched(releases, fleet, bad, BECAUSE, Guard(5.0, ("ann", "bob")))
        assert releases.promoted().release == serving
        assert [answering(pod) for pod in pods] == [serving] * 2


@pytest.mark.slow
class TestFaults:
    def test_an_agent_killed_in_the_middle_goes_on_where_it_was(self, pods, fleet, releases):
        release = publish_tiny_release(releases)
        promoting = threading.Thread(target=promote, args=(releases, fleet, release, BECAUSE))
        with storefront(pods[:1]) as outcomes:
            promoting.start()
            until(lambda: releases.promoted().release == release)
            pods[1].kill_agent()
            pods[1].start_agent()
            promoting.join()
        assert set(outcomes) == {"sound"}
        assert [answering(pod) for pod in pods] == [release] * 2

    def test_a_killed_triton_is_not_ready_until_it_is_loaded_again(self, pods, fleet, releases):
        pid = pods[0].triton.daemon.pid
        with storefront(pods[1:]) as outcomes:
            os.killpg(pid, signal.SIGKILL)
            until(lambda: pods[0].get("/ready")[0] == 503)
            until(lambda: "no Triton answers" in pods[0].state().error)
            assert pods[0].get("/live")[0] == 200
            assert pods[0].triton.start() != pid
            until(pods[0].is_ready)
        assert set(outcomes) == {"sound"}
        assert answering(pods[0]) == releases.promoted().release

    def test_dead_model_processes_are_renewed(self, pods, releases):
        live, server = releases.promoted().release, pods[0].triton.daemon.pid
        wanted = model_processes.wanted(pods[0].settings.triton_grpc, live)
        # A load leaves those of the load before to end by themselves.
        until(lambda: len(model_processes.living(server, live)) == wanted)
        kill_processes(pods[0].settings, live, 1)
        healed = 'recsys_healed_total{fault="process"} 1.0'
        until(lambda: healed in pods[0].get("/metrics")[1])
        until(lambda: pods[0].is_ready() and pods[0].serves(live))

    def test_a_new_pod_joins_with_the_live_release_and_the_one_before(
        self, pods, canary, fleet, releases, shop, tmp_path
    ):
        second = promote(releases, fleet, publish_tiny_release(releases), BECAUSE)
        joining = Pod.new(tmp_path, shop)
        try:
            joining.start()
            until(lambda: joining.get("/live")[0] == 200)
            until(joining.is_ready)
            assert answering(joining) == second.release
            folder = joining.settings.triton_repository / "pipeline"
            until(lambda: (folder / str(second.previous)).exists())
            everyone = fleet_of([*pods, joining], [canary])
            assert rollback(releases, everyone, BECAUSE).release == second.previous
            assert answering(joining) == second.previous
        finally:
            joining.stop()


class TestCanaryPods:
    def test_the_check_asks_them(self, canary, releases, shop):
        release = publish_tiny_release(releases)
        pods = CanaryPods(fleet_of([canary], [canary]).canary, LARGE)
        report = check_release(releases, release, pods, canaries({}), AT)
        assert report.faulty == ()
        assert report.latency["latency_ms_p50"] > 0

    @pytest.mark.slow
    def test_one_that_is_just_starting_is_waited_for(self, pods, releases, shop, tmp_path):
        release, starting = publish_tiny_release(releases), Pod.new(tmp_path, shop)
        try:
            starting.start("--follow", "newest")
            until(lambda: starting.state().asked)
            promote(releases, fleet_of(pods, [starting]), release, BECAUSE)
        finally:
            starting.stop()


@pytest.mark.slow
class TestDraining:
    def test_a_fleet_is_renewed_without_a_failed_request(self, pods, releases, shop, tmp_path):
        """As a rolling update does it: one more pod, and once it is ready, an old one ends."""
        live = releases.promoted().release
        old = Pod.new(tmp_path / "old", shop).start("--drain-seconds", "8")
        new = Pod.new(tmp_path / "new", shop)
        serving = [old]
        try:
            until(old.is_ready)
            with storefront(serving) as outcomes:
                new.start()
                serving.append(new)
                until(lambda: new.is_ready() and new.serves(live))
                old.process.send_signal(signal.SIGTERM)
                until(lambda: old.get("/ready") == (503, "draining"))
                assert old.get("/live")[0] == 200
                assert ended(old.process) == 0
                old.triton.stop()  # a pod's preStop hook waits as long
                until(lambda: outcomes["sound"] > 100)
            assert set(outcomes) == {"sound"}
        finally:
            old.stop()
            new.stop()
