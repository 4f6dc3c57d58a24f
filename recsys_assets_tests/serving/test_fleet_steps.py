"""The steps of a change over a fleet, with pods that are played."""

from dataclasses import dataclass, field, replace

import pytest

from recsys_assets.releases.release import Reason, Releases
from recsys_assets.rollout.agents import Patience, Pods, PodState
from recsys_assets.rollout.fleet import CanaryPods, Fleet, PodSize
from recsys_assets.rollout.promotion import promote, promote_approved, rollback
from recsys_assets.rollout.release_target import PromotionError, ReleaseChange
from recsys_assets.storage import Store
from recsys_assets_tests.serving.pods import LARGE
from recsys_assets_tests.serving.tiny_release import publish_tiny_release

BECAUSE = Reason("a test", "pytest")
SILENT = 0  # in the place of a release: its agent cannot be asked


@dataclass(frozen=True)
class PlayedPods(Pods):
    """Pods that follow the record at once, but for those that cannot serve a release.

    While a release is recorded that ends them all, no agent can be asked.
    """

    releases: Releases | None = None
    cannot: dict[str, int] = field(default_factory=dict)
    ends_all: int | None = None
    service: str = "agents:1"
    addresses: object = None

    def states(self):
        live = self.releases.promoted()
        if live is not None and live.release == self.ends_all:
            return [PodState(self.service, error="cannot be resolved", asked=False)]
        return [self._state(f"pod {n}:8080", live.release if live else None) for n in range(1, 6)]

    def _state(self, address, wanted):
        if self.cannot.get(address) == SILENT:
            return PodState(address, error="not reached: timed out", asked=False)
        if wanted is not None and self.cannot.get(address) == wanted:
            return PodState(address, wanted, wanted - 1, error="no memory is left")
        return PodState(address, wanted, wanted, grpc=address.replace("8080", "8001"))


@dataclass(frozen=True)
class PlayedCanary(Pods):
    """A pod that serves one release."""

    service: str = "canary:1"
    serves: int | None = None
    error: str = ""

    def states(self):
        state = PodState("canary:8080", self.serves, self.serves, error=self.error)
        return [replace(state, grpc="canary:8001")]


@pytest.fixture
def releases(tmp_path):
    releases = Releases(Store(tmp_path.as_uri()))
    for _ in range(3):
        publish_tiny_release(releases)
    releases.record(1, (), BECAUSE)
    return releases


@pytest.fixture
def fleet(releases):
    def fleet(canary=2, ends_all=None, **cannot):
        failing = {name.replace("_", " ") + ":8080": release for name, release in cannot.items()}
        pods = PlayedPods(releases=releases, cannot=failing, ends_all=ends_all)
        said.clear()
        patience = Patience(0.1, 0.01)
        return Fleet(pods, PlayedCanary(serves=canary), LARGE, patience, said.append)

    said = fleet.said = []
    return fleet


def to_second(releases):
    return ReleaseChange(2, (1,), BECAUSE, "promoted", releases.promoted())


def test_all_pods_follow_the_record(releases, fleet):
    changed = fleet().change(releases, to_second(releases))
    assert changed == releases.promoted()
    assert (changed.release, changed.previous) == (2, 1)
    assert fleet.said == ["1 of 1 pods answer with release 2", "5 of 5 pods answer with release 2"]


def test_few_may_be_left_behind_and_are_named(releases, fleet):
    one_behind = fleet(pod_3=2)
    assert one_behind.change(releases, to_second(releases)).release == 2
    assert fleet.said[-1] == (
        "left behind, and still trying: pod 3:8080 serves release 1 (no memory is left)"
    )
    answering = one_behind.answering(2)
    assert answering.addresses == tuple(f"pod {n}:8001" for n in (1, 2, 4, 5))
    assert not answering.has_gone("pod 1:8001")
    assert answering.has_gone("pod 6:8001")


def test_many_take_the_record_back(releases, fleet):
    with pytest.raises(PromotionError, match=r"by 2 pods: pod 1.*pod 3.* Release 1 is live again$"):
        fleet(pod_1=2, pod_3=2).change(releases, to_second(releases))
    assert [(c.action, c.release, c.by) for c in releases.history()[1:]] == [
        ("promoted", 2, "pytest"),
        ("rolled back", 1, "fleet"),
    ]


def test_a_way_back_that_pods_do_not_take_stays_recorded(releases, fleet):
    second = releases.record(2, (1,), BECAUSE)
    step = ReleaseChange(1, (), BECAUSE, "rolled back", second)
    with pytest.raises(PromotionError, match="It stays recorded as live, and they keep trying"):
        fleet(pod_1=1, pod_3=1).change(releases, step)
    assert releases.promoted().release == 1


def test_a_rollback_asks_no_canary(releases, fleet):
    step = ReleaseChange(1, (), BECAUSE, "rolled back", releases.record(2, (1,), BECAUSE))
    assert fleet(canary=None).change(releases, step).release == 1


def test_what_the_canary_does_not_serve_is_not_recorded(releases, fleet):
    before = releases.promoted()
    with pytest.raises(PromotionError, match="release 2 was not promoted: canary pods do not"):
        fleet(canary=1).change(releases, to_second(releases))
    assert releases.promoted() == before


def test_an_older_release_was_on_the_canary_before(releases, fleet):
    assert fleet(canary=3).change(releases, to_second(releases)).release == 2


def test_a_rejected_one_is_on_no_canary_so_it_is_forced(releases, fleet):
    releases.reject(2, "worse")
    assert fleet(canary=1).change(releases, to_second(releases)).release == 2
    assert fleet.said[0] == "release 2 was rejected, so no canary pod serves it: it is forced"


def test_of_two_changes_at_once_the_second_fails(releases, fleet):
    step = to_second(releases)
    other = releases.record(3, (1,), Reason("faster", "ann"))
    with pytest.raises(PromotionError, match=r"release 3 \(by ann\) has been made live meanwhile"):
        fleet().change(releases, step)
    assert releases.promoted() == other


def test_confirming_waits_for_all(releases, fleet):
    live = releases.promoted()
    fleet().confirm(releases, live)
    with pytest.raises(PromotionError, match=r"is live at .* but not served by 2 pods"):
        fleet(pod_1=1, pod_2=1).confirm(releases, live)


def test_without_a_pod_it_says_which_service_has_none(releases, fleet):
    with pytest.raises(
        PromotionError, match=r"not served by 1 pods: agents:1 .*cannot be resolved"
    ):
        fleet(ends_all=2).change(releases, to_second(releases))
    assert releases.promoted().release == 1


def test_the_canary_is_asked_at_its_own_address(releases):
    pods = CanaryPods(PlayedCanary(serves=2), LARGE, Patience(0.1, 0.01))
    with pods.serving(releases, 2) as (address, fault):
        assert (address, fault) == ("canary:8001", "")
    with pods.serving(releases, 3) as (_, fault):
        assert fault == "canary pods do not serve release 3: canary:8080 serves release 2"


@pytest.mark.parametrize(
    ("size", "what"),
    [
        (PodSize(memory=512 << 20, models=2 << 30), "MiB of memory in a pod that has 512: give"),
        (PodSize(memory=3 << 30, models=1), "MiB of disk in a pod that has 0: give"),
    ],
)
def test_a_release_that_does_not_fit_is_refused_before_any_pod_tries(releases, fleet, size, what):
    before = releases.promoted()
    with pytest.raises(PromotionError, match=f"release 2 was not promoted: .*{what}"):
        replace(fleet(), size=size).change(releases, to_second(releases))
    assert releases.promoted() == before
    with CanaryPods(PlayedCanary(serves=2), size).serving(releases, 2) as (_, fault):
        assert what in fault


class TestFirstPromotion:
    def test_it_begins_with_pods_that_answer_nothing(self, tmp_path, fleet):
        empty = Releases(Store((tmp_path / "empty").as_uri()))
        release = publish_tiny_release(empty)
        pods = PlayedPods(releases=empty)
        assert all(state.serving is None for state in pods.states())
        promoted = promote(empty, replace(fleet(canary=release), pods=pods), release, BECAUSE)
        assert (promoted.release, promoted.before) == (release, ())
        assert all(state.serving == release for state in pods.states())

    def test_pods_that_have_no_node_yet_are_not_waited_for(self, tmp_path, fleet):
        empty = Releases(Store((tmp_path / "empty").as_uri()))
        release = publish_tiny_release(empty)
        nowhere = {f"pod {n}:8080": SILENT for n in (1, 2, 3)}
        fleet = replace(fleet(canary=release), pods=PlayedPods(releases=empty, cannot=nowhere))
        assert promote(empty, fleet, release, BECAUSE).release == release
        assert fleet.answering(release).addresses == ("pod 4:8001", "pod 5:8001")


class TestRollback:
    def test_it_is_recorded_although_the_bad_release_has_ended_all_pods(self, releases, fleet):
        releases.record(2, (1,), BECAUSE)
        assert rollback(releases, fleet(ends_all=2), BECAUSE).release == 1
        assert releases.rejection(2) == "rolled back: a test"

    def test_the_bad_release_is_rejected_though_waiting_fails(self, releases, fleet):
        releases.approve(2)
        releases.record(2, (1,), BECAUSE)
        with pytest.raises(PromotionError, match="stays recorded as live"):
            rollback(releases, fleet(ends_all=1), BECAUSE)
        assert releases.promoted().release == 1
        with pytest.raises(PromotionError, match="release 2 has been rejected: rolled back"):
            promote_approved(releases, fleet(), 2, BECAUSE, guard=None)

    @pytest.mark.parametrize("killed_at", ["record", "wait_for"])
    def test_it_is_rejected_though_the_rollback_is_killed(
        self, releases, fleet, monkeypatch, killed_at
    ):
        def killed(*_, **__):
            raise KeyboardInterrupt

        releases.record(2, (1,), BECAUSE)
        with monkeypatch.context() as patched:
            patched.setattr(Releases if killed_at == "record" else Pods, killed_at, killed)
            with pytest.raises(KeyboardInterrupt):
                rollback(releases, fleet(), BECAUSE, expected_release=2)
        assert releases.rejection(2) == "rolled back: a test"
        # Who tries again gets to the end of it, and no further back.
        assert rollback(releases, fleet(), BECAUSE, expected_release=2).release == 1
        assert [change.release for change in releases.history()] == [1, 2, 1]

    def test_another_release_than_the_expected_one_stays(self, releases, fleet):
        releases.record(3, (1,), BECAUSE)
        with pytest.raises(PromotionError, match="release 2 was to be taken back, but release 3"):
            rollback(releases, fleet(), BECAUSE, expected_release=2)
        assert releases.rejection(3) is None
