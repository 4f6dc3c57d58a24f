"""Promotions while something breaks: real processes, killed for real."""

import errno
import importlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from recsys_assets.releases import release_events
from recsys_assets.releases.release import Reason
from recsys_assets.releases.release_writing import CorruptRelease
from recsys_assets.rollout import single_server
from recsys_assets.rollout.guard import Guard
from recsys_assets.rollout.healing import reconcile
from recsys_assets.rollout.promotion import (
    GuardTripped,
    PromotionError,
    promote,
    promote_approved,
    rollback,
)
from recsys_assets.services import deployment
from recsys_assets.services.valkey import Valkey
from recsys_assets.services.watchdog import heal_services, watch
from recsys_assets.triton.client import RecommendClient
from recsys_assets.triton.server import TritonServer
from recsys_assets_tests.serving.fixtures import kill_processes
from recsys_assets_tests.serving.tiny_release import AT, FAILS_FOR_USERS, publish_tiny_release

pytestmark = pytest.mark.integration

SLOW = pytest.mark.slow

BECAUSE = Reason("a test", "pytest")


@pytest.fixture(scope="module")
def first(releases, live):
    """A release that every test starts from, so that there always is one to go back to."""
    return promote(releases, live, publish_tiny_release(releases), BECAUSE).release


@pytest.fixture
def serving(releases, live, first):
    """The number of a sound release, live when the test begins."""
    return promote(releases, live, publish_tiny_release(releases), BECAUSE).release


def answering(running):
    with RecommendClient(running.triton_grpc, probe=True) as client:
        return client.recommend("ann", AT).release


@contextmanager
def traffic(running):
    """Two clients that ask all the time; yields what became of their requests."""
    outcomes, done = Counter(), threading.Event()

    def ask():
        with RecommendClient(running.triton_grpc, probe=True) as client:
            while not done.is_set():
                try:
                    answer = client.recommend("ann", AT)
                except InferenceServerException as error:
                    outcomes[error.message()] += 1
                    continue
                of_release = {int(item.split("-")[0]) for item in answer.item_ids}
                outcomes["sound" if of_release == {answer.release} else "mixed"] += 1

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield outcomes
    finally:
        done.set()
        for client in clients:
            client.join()


class TestCorruptCandidate:
    def test_it_is_refused_by_name_and_nothing_changes(self, running, releases, live, serving):
        candidate = publish_tiny_release(releases)
        file = releases.fetch(candidate) / f"models/pipeline/{candidate}/vectors.npy"
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
        with (
            traffic(running) as outcomes,
            pytest.raises(CorruptRelease, match=rf"pipeline/{candidate}/vectors\.npy is not what"),
        ):
            promote(releases, live, candidate, BECAUSE)
        assert set(outcomes) <= {"sound"}
        assert releases.promoted().release == answering(running) == serving


class TestFullDisk:
    def full(self, *_):
        raise OSError(errno.ENOSPC, "No space left on device")

    @pytest.mark.parametrize(
        ("module", "step"), [(single_server, "add_version"), (release_events, "write_atomically")]
    )
    def test_while_promoting_changes_nothing(
        self, running, releases, live, serving, monkeypatch, module, step
    ):
        candidate = publish_tiny_release(releases)
        untouched = getattr(module, step)

        def full_for_the_candidate(*arguments):
            if arguments[-1] != serving:
                self.full()
            return untouched(*arguments)

        monkeypatch.setattr(module, step, full_for_the_candidate)
        with pytest.raises(PromotionError, match="No space left on device"):
            promote(releases, live, candidate, BECAUSE)
        monkeypatch.undo()
        assert releases.promoted().release == answering(running) == serving


class TestGuard:
    def test_a_release_that_fails_its_users_is_taken_back(self, running, releases, live, serving):
        bad = publish_tiny_release(releases, code=FAILS_FOR_USERS)
        releases.approve(bad)
        guard = Guard(5.0, ("ann", "bob"), running.online_store_url)
        with pytest.raises(GuardTripped, match="a ranker that fails for everybody") as tripped:
            promote_approved(releases, live, bad, BECAUSE, guard)
        assert tripped.value.report.requests < 100
        assert releases.promoted().release == answering(running) == serving
        assert tripped.value.serving == releases.promoted()
        assert [(c.action, c.release, c.by) for c in releases.history()[-2:]] == [
            ("promoted", bad, "pytest"),
            ("rolled back", serving, "promotion guard"),
        ]
        with pytest.raises(PromotionError, match=f"release {bad} has been rejected: rolled back"):
            promote_approved(releases, live, bad, BECAUSE, guard)

    def test_a_sound_release_stays_though_the_store_is_restarted(
        self, running, releases, live, serving
    ):
        candidate = publish_tiny_release(releases)
        releases.approve(candidate)
        valkey = Valkey.of(running)

        def restart():
            time.sleep(0.5)
            os.kill(valkey.daemon.pid, signal.SIGKILL)
            time.sleep(1.0)
            valkey.start()

        restarting = threading.Thread(target=restart)
        restarting.start()
        guard = Guard(4.0, ("ann", "bob"), running.online_store_url)
        promoted = promote_approved(releases, live, candidate, BECAUSE, guard)
        restarting.join()
        assert promoted.release == answering(running) == candidate

    def test_what_another_promotion_has_replaced_is_not_taken_back(self, releases, live, serving):
        later = promote(releases, live, publish_tiny_release(releases), BECAUSE).release
        with pytest.raises(PromotionError, match=f"release {later} is live: nothing has been"):
            rollback(releases, live, BECAUSE, expected_release=serving)
        assert releases.promoted().release == later


def promote_in_process(storage_url, server, release):
    from recsys_assets.releases.release import Releases
    from recsys_assets.storage import Store

    promote(Releases(Store(storage_url)), server, release, Reason("at once", f"for {release}"))


class TestTwoPromotionsAtOnce:
    def test_they_wait_for_each_other_and_both_are_recorded(self, running, releases, live, serving):
        candidates = [publish_tiny_release(releases) for _ in range(2)]
        spawn = multiprocessing.get_context("spawn")
        with traffic(running) as outcomes:
            processes = [
                spawn.Process(target=promote_in_process, args=(running.storage_url, live, release))
                for release in candidates
            ]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
        assert [process.exitcode for process in processes] == [0, 0]
        assert set(outcomes) == {"sound"}
        one, other = releases.history()[-2:]
        assert {one.release, other.release} == set(candidates)
        assert (one.replaced, other.replaced) == (serving, one.release)
        assert releases.promoted() == other
        assert answering(running) == other.release


def promote_and_hang(storage_url, server, release, place, reached):
    """Promotes, and stops for ever at the given place."""
    from recsys_assets.releases.release import Releases
    from recsys_assets.storage import Store

    module_name, name, call, moment = place
    module = importlib.import_module(module_name)
    step, calls = getattr(module, name), itertools.count(1)

    def hang(*arguments):
        this = next(calls) == call
        if this and moment == "before":
            stop()
        step(*arguments)
        if this:
            stop()

    def stop():
        Path(reached).touch()
        time.sleep(600)

    setattr(module, name, hang)
    promote(Releases(Store(storage_url)), server, release, BECAUSE)


class TestKilledPromotion:
    @pytest.mark.parametrize(
        ("place", "survivor"),
        [
            pytest.param(
                (single_server, "remove_versions", 2, "before"), "old", id="files laid", marks=SLOW
            ),
            pytest.param(
                (single_server, "prove", 1, "after"), "old", id="loaded beside", marks=SLOW
            ),
            pytest.param(
                (single_server, "load", 1, "before"), "old", id="configuration written", marks=SLOW
            ),
            pytest.param((single_server, "load", 1, "after"), "old", id="switched"),
            pytest.param(
                (release_events, "write_atomically", 1, "after"), "old", id="event", marks=SLOW
            ),
            pytest.param((release_events, "write_if_unchanged", 1, "after"), "new", id="recorded"),
        ],
    )
    def test_one_release_survives_everywhere(
        self, running, releases, live, serving, tmp_path, place, survivor
    ):
        candidate = publish_tiny_release(releases)
        module, *where = place
        reached = tmp_path / "reached"
        process = multiprocessing.get_context("spawn").Process(
            target=promote_and_hang,
            args=(running.storage_url, live, candidate, (module.__name__, *where), str(reached)),
        )
        process.start()
        while not reached.exists():
            assert process.is_alive()
            time.sleep(0.02)
        process.kill()
        process.join()
        reconcile(releases, live)
        expected = {"old": serving, "new": candidate}[survivor]
        assert releases.promoted().release == answering(running) == expected
        numbers = [change.number for change in releases.history()]
        assert numbers == list(range(1, releases.promoted().number + 1))

    def test_a_restarted_server_serves_what_is_recorded(self, running, releases, live, serving):
        os.kill(TritonServer.of(running).daemon.pid, signal.SIGKILL)
        assert heal_services(running) == ["Triton did not answer"]
        assert releases.promoted().release == answering(running) == serving


class TestKilledTriton:
    def test_during_a_promotion_up_brings_back_the_recorded_release(
        self, running, releases, live, serving, monkeypatch
    ):
        candidate = publish_tiny_release(releases)
        load, calls = single_server.load_ensembles, itertools.count(1)

        def killed_while_loading_the_candidate(*arguments):
            if next(calls) == 2:
                kill = (os.kill, (TritonServer.of(running).daemon.pid, signal.SIGKILL))
                threading.Timer(0.1, *kill).start()
            load(*arguments)

        monkeypatch.setattr(single_server, "load_ensembles", killed_while_loading_the_candidate)
        with pytest.raises(PromotionError, match=rf"release {serving}.*`recsys up` brings it back"):
            promote(releases, live, candidate, BECAUSE)
        assert releases.promoted().release == serving
        deployment.up(running)
        assert answering(running) == serving


class TestAbortedTriton:
    """Of a fault of its backend, which comes of processes held up while they load."""

    @pytest.fixture
    def aborts(self, running, monkeypatch):
        """Begins to abort at the second load from now, for so many loads."""
        log = TritonServer.of(running).daemon.log_file
        load, calls = single_server.load_ensembles, itertools.count(1)

        def begin(words, loads):
            def aborted(*arguments):
                if 2 <= next(calls) < 2 + loads:
                    with log.open("a") as end:
                        end.write(f"terminate called after throwing an instance of '{words}'\n")
                    os.kill(TritonServer.of(running).daemon.pid, signal.SIGKILL)
                load(*arguments)

            monkeypatch.setattr(single_server, "load_ensembles", aborted)

        return begin

    def test_during_a_promotion_it_is_started_again_and_the_promotion_goes_on(
        self, running, releases, live, serving, aborts
    ):
        aborts("boost::interprocess::lock_exception", loads=1)
        candidate = publish_tiny_release(releases)
        assert promote(releases, live, candidate, BECAUSE).release == candidate
        assert answering(running) == releases.promoted().release == candidate

    def test_once(self, running, releases, live, serving, aborts):
        aborts("boost::interprocess::lock_exception", loads=9)
        with pytest.raises(PromotionError, match=rf"release {serving}.*`recsys up` brings it back"):
            promote(releases, live, publish_tiny_release(releases), BECAUSE)
        assert releases.promoted().release == serving
        deployment.up(running)
        assert answering(running) == serving


class TestKilledStub:
    @pytest.mark.parametrize("count", [1, 2])
    def test_it_is_healed(self, running, releases, live, serving, count):
        kill_processes(running, serving, count)
        server = TritonServer.of(running).daemon.pid
        assert f"release {serving} failed: {count} of 2" in reconcile(releases, live, server)
        assert answering(running) == serving
        assert reconcile(releases, live, server) is None

    def test_a_dead_earlier_release_can_be_gone_back_to_without_a_failed_request(
        self, running, releases, live, first
    ):
        earlier = promote(releases, live, publish_tiny_release(releases), BECAUSE).release
        promote(releases, live, publish_tiny_release(releases), BECAUSE)
        kill_processes(running, earlier)
        with traffic(running) as outcomes:
            assert rollback(releases, live, BECAUSE).release == earlier
        assert set(outcomes) == {"sound"}
        assert answering(running) == earlier


class TestReleaseThatNoLongerLoads:
    def test_a_rollback_brings_the_one_before_it(self, running, releases, live, serving):
        broken = promote(releases, live, publish_tiny_release(releases), BECAUSE).release
        for folder in (releases.fetch(broken) / "models", live.repository):
            (folder / f"pipeline/{broken}/vectors.npy").unlink()
        os.kill(TritonServer.of(running).daemon.pid, signal.SIGKILL)
        with pytest.raises(deployment.ServiceError, match=f"`recsys rollback .* {serving}"):
            deployment.up(running)
        assert rollback(releases, live, BECAUSE).release == serving
        assert releases.promoted().release == answering(running) == serving


class TestWatch:
    def test_it_heals_what_dies_and_says_so_once(self, running, releases, serving):
        def look(_):
            """The time between two looks, in which something dies."""
            victim = next(victims, None)
            if victim:
                victim()
            return False

        victims = iter(
            [
                None,
                lambda: os.kill(Valkey.of(running).daemon.pid, signal.SIGKILL),
                lambda: kill_processes(running, serving),
                lambda: os.kill(TritonServer.of(running).daemon.pid, signal.SIGKILL),
            ]
        )
        lines = watch(running, 0.0, look)
        assert next(lines) == "healed: Valkey did not answer"
        assert f"healed: release {serving} failed" in next(lines)
        assert next(lines) == "healed: Triton did not answer"
        assert answering(running) == serving
