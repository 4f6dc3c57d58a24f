"""Pods behind a balancer that knows the ready ones only: from an empty store to a way back."""

import multiprocessing
import os
import signal
from collections import Counter
from contextlib import contextmanager

import pytest

from recsys_assets.releases import release_events
from recsys_assets.releases.release import Reason, Releases
from recsys_assets.rollout.agents import Pods
from recsys_assets.rollout.canary import canaries, check_release
from recsys_assets.rollout.fleet import CanaryPods, Fleet
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
from recsys_assets.storage import Store
from recsys_assets_tests.serving.balancer import balanced, readiness_probes
from recsys_assets_tests.serving.pods import LARGE, Pod, fleet_of, shop_in, storefront
from recsys_assets_tests.serving.tiny_release import AT, FAILS_FOR_ANN, publish_tiny_release
from recsys_assets_tests.waiting import until

pytestmark = pytest.mark.integration

BECAUSE = Reason("a test", "pytest")
WATCHED = Guard(2.0, ("ann", "bob"))


@pytest.fixture
def shop(tmp_path):
    with shop_in(tmp_path / "shop") as settings:
        yield settings


@pytest.fixture
def releases(shop):
    return deployment.releases(shop)


@pytest.fixture
def pods(tmp_path, shop):
    """Two pods and, as the third, one that follows what is newest; none of them is started."""
    made = [Pod.new(tmp_path / f"pod{number}", shop) for number in range(3)]
    yield made
    for pod in made:
        pod.stop()


@pytest.fixture
def fleet(pods):
    return fleet_of(pods[:2], pods[2:])


def apply(pods, *options):
    for pod in pods[:2]:
        pod.start(*options)
    pods[2].start("--follow", "newest")


@pytest.fixture
def live(pods, fleet, releases):
    """A first release that is live, on pods that are ready."""
    apply(pods)
    promoted = promote(releases, fleet, publish_tiny_release(releases), BECAUSE)
    for pod in pods[:2]:
        until(pod.is_ready)
    return promoted.release


@contextmanager
def shoppers(balancer, pods):
    """Requests through the balancer meanwhile, every one of which must be answered."""
    until(lambda: balancer.ready() == {pod.address for pod in pods[:2]})
    with storefront(pods[:2], service=balancer.address) as outcomes:
        yield outcomes
        seen = outcomes["sound"]
        until(lambda: outcomes["sound"] > seen + 40)
    assert set(outcomes) == {"sound"}, Counter(outcomes)


def check_and_approve(releases, canary, release):
    """As the check `canary_answers` does."""
    report = check_release(releases, release, CanaryPods(canary, LARGE), canaries({}), AT)
    assert report.faulty == ()
    releases.approve(release)


def test_the_probes_are_those_of_both_containers():
    assert [probe.path for probe in readiness_probes("triton")] == ["/v2/health/live", "/ready"]


def test_from_an_empty_store_to_a_way_back(pods, fleet, releases, tmp_path):
    apply(pods)
    until(lambda: all(pod.get("/live")[0] == 200 for pod in pods))
    with balanced(pods[:2], tmp_path) as balancer:
        assert balancer.ready() == set()
        first = publish_tiny_release(releases)
        check_and_approve(releases, fleet.canary, first)
        assert promote_approved(releases, fleet, None, BECAUSE, WATCHED).release == first

        with shoppers(balancer, pods):
            second = publish_tiny_release(releases)
            check_and_approve(releases, fleet.canary, second)
            promote_approved(releases, fleet, None, BECAUSE, WATCHED)
            until(lambda: all(pod.serves(second) for pod in pods))

        # Whoever is in a batch with ann gets no answer from this one either.
        bad = publish_tiny_release(releases, code=FAILS_FOR_ANN)
        releases.approve(bad)  # its canary asked others than ann
        with pytest.raises(GuardTripped, match=f"Release {second} is live again"):
            promote_approved(releases, fleet, None, BECAUSE, WATCHED)
        until(lambda: all(pod.serves(second) for pod in pods[:2]))
        with pytest.raises(PromotionError, match=f"release {bad} has been rejected"):
            promote_approved(releases, fleet, bad, BECAUSE, WATCHED)

        with shoppers(balancer, pods):
            assert rollback(releases, fleet, BECAUSE).release == first
    assert [change.release for change in releases.history()] == [first, second, bad, second, first]


@pytest.mark.slow
class TestFaults:
    def test_a_first_release_that_fails_users_is_rejected(self, pods, fleet, releases, tmp_path):
        apply(pods)
        bad = publish_tiny_release(releases, code=FAILS_FOR_ANN)
        with balanced(pods[:2], tmp_path) as balancer:
            with pytest.raises(GuardTripped, match="no earlier release to go back to"):
                promote_watched(releases, fleet, bad, BECAUSE, WATCHED)
            good = publish_tiny_release(releases)
            promote_watched(releases, fleet, good, BECAUSE, WATCHED)
            with shoppers(balancer, pods):
                assert releases.rejection(bad) is not None

    def test_a_way_back_is_recorded_while_all_pods_are_down(
        self, pods, fleet, releases, live, tmp_path
    ):
        bad = promote(releases, fleet, publish_tiny_release(releases), BECAUSE).release
        with balanced(pods[:2], tmp_path) as balancer:
            for pod in pods[:2]:
                pod.stop()
            until(lambda: balancer.ready() == set())
            with pytest.raises(PromotionError, match=r"not reached.* stays recorded as live"):
                rollback(releases, fleet_of(pods[:2], pods[2:], 1.0), BECAUSE, bad)
            with pytest.raises(PromotionError, match=f"release {bad} has been rejected"):
                promote_approved(releases, fleet, bad, BECAUSE, WATCHED)
            for pod in pods[:2]:
                pod.start()
            assert rollback(releases, fleet, BECAUSE, bad).release == live
            with shoppers(balancer, pods):
                until(lambda: all(pod.serves(live) for pod in pods[:2]))

    def test_a_pod_that_lags_holds_nothing_up(self, pods, fleet, releases, live, tmp_path):
        pods[1].kill_agent()
        pods[1].start_agent("--spread-seconds", "20")
        until(pods[1].is_ready)
        with balanced(pods[:2], tmp_path) as balancer, shoppers(balancer, pods):
            release = publish_tiny_release(releases)
            promote_watched(releases, fleet, release, BECAUSE, WATCHED)
            until(lambda: all(pod.serves(release) for pod in pods))

    @pytest.mark.parametrize("way", ["forward", "back"])
    def test_who_is_killed_while_waiting_can_begin_anew(
        self, pods, fleet, releases, live, tmp_path, way
    ):
        second = publish_tiny_release(releases)
        if way == "back":
            promote(releases, fleet, second, BECAUSE)
        wanted = second if way == "forward" else live
        pods[1].kill_agent()
        pods[1].start_agent("--every", "3600")  # so that there is something to wait for
        until(pods[1].is_ready)
        with balanced(pods[:2], tmp_path) as balancer:
            _killed_once_recorded(way, releases, pods, second, wanted)
            pods[1].kill_agent()
            pods[1].start_agent()
            with shoppers(balancer, pods):
                if way == "forward":
                    promote_watched(releases, fleet, second, BECAUSE, WATCHED)
                else:
                    assert rollback(releases, fleet, BECAUSE, second).release == live
                    with pytest.raises(PromotionError, match=f"release {second} has been rejected"):
                        promote_approved(releases, fleet, second, BECAUSE, WATCHED)
        assert releases.promoted().release == wanted

    def test_a_record_of_a_later_version_is_followed(
        self, pods, fleet, releases, live, tmp_path, monkeypatch
    ):
        """Whoever promotes is updated before the pods are, and writes more than they know."""
        _write_more(monkeypatch)
        with balanced(pods[:2], tmp_path) as balancer, shoppers(balancer, pods):
            release = publish_tiny_release(releases)
            promote_watched(releases, fleet, release, BECAUSE, WATCHED)
            assert rollback(releases, fleet, BECAUSE, release).release == live


def _write_more(monkeypatch):
    written = release_events.asdict
    monkeypatch.setattr(
        release_events, "asdict", lambda change: {**written(change), "approved_by": "ann"}
    )


def _killed_once_recorded(way, releases, pods, release, wanted):
    """A promotion, or the way back, killed in the wait for the pods."""
    agents = [pod.address for pod in pods]
    arguments = (releases.store.url, agents[:2], agents[2:], way, release)
    process = multiprocessing.get_context("spawn").Process(target=_change, args=arguments)
    process.start()
    until(lambda: releases.promoted().release == wanted)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _change(store_url, agents, canary_agents, way, release):
    releases = Releases(Store(store_url))
    where = {"agents:1": agents, "canary:1": canary_agents}
    fleet = Fleet(Pods("agents:1", where.get), Pods("canary:1", where.get), LARGE)
    if way == "forward":
        promote(releases, fleet, release, BECAUSE)
    else:
        rollback(releases, fleet, BECAUSE, release)
