"""The steps of a change over a fleet, with pods that are played."""

from dataclasses import dataclass, field

import pytest

from recsys_assets.serving.agents import Patience, Pods, PodState
from recsys_assets.serving.changing import PromotionError, Step
from recsys_assets.serving.fleet import Fleet
from recsys_assets.serving.release import Reason, Releases
from recsys_assets.storage import Store
from recsys_assets_tests.serving.tiny_release import publish_tiny_release

BECAUSE = Reason("a test", "pytest")


@dataclass(frozen=True)
class PlayedPods(Pods):
    """Pods that follow the record at once, but for those that cannot serve a release."""

    releases: Releases | None = None
    cannot: dict[str, int] = field(default_factory=dict)
    service: str = "agents:1"
    addresses: object = None

    def states(self):
        live = self.releases.promoted()
        return [self._state(f"pod {n}:8080", live.release if live else None) for n in range(1, 6)]

    def _state(self, address, wanted):
        if wanted is not None and self.cannot.get(address) == wanted:
            return PodState(address, wanted, wanted - 1, error="no memory is left")
        return PodState(address, wanted, wanted)


@dataclass(frozen=True)
class PlayedCanary(Pods):
    """A pod that serves one release."""

    service: str = "canary:1"
    serves: int | None = None
    error: str = ""

    def states(self):
        return [PodState("canary:8080", self.serves, self.serves, error=self.error)]


@pytest.fixture
def releases(tmp_path):
    releases = Releases(Store(tmp_path.as_uri()))
    for _ in range(3):
        publish_tiny_release(releases)
    releases.record(1, (), BECAUSE)
    return releases


@pytest.fixture
def fleet(releases):
    def fleet(canary=2, **cannot):
        failing = {name.replace("_", " ") + ":8080": release for name, release in cannot.items()}
        pods = PlayedPods(releases=releases, cannot=failing)
        said.clear()
        patience = Patience(0.1, 0.01)
        return Fleet("triton:8001", pods, PlayedCanary(serves=canary), patience, said.append)

    said = fleet.said = []
    return fleet


def to_second(releases):
    return Step(2, (1,), BECAUSE, "promoted", releases.promoted())


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
    assert one_behind.lagging() == {1, 2}


def test_many_take_the_record_back(releases, fleet):
    with pytest.raises(PromotionError, match=r"by 2 pods: pod 1.*pod 3.* Release 1 is live again$"):
        fleet(pod_1=2, pod_3=2).change(releases, to_second(releases))
    assert [(c.action, c.release, c.by) for c in releases.history()[1:]] == [
        ("promoted", 2, "pytest"),
        ("rolled back", 1, "fleet"),
    ]


def test_a_way_back_that_pods_do_not_take_stays_recorded(releases, fleet):
    second = releases.record(2, (1,), BECAUSE)
    step = Step(1, (), BECAUSE, "rolled back", second)
    with pytest.raises(PromotionError, match="It stays recorded as live, and they keep trying"):
        fleet(pod_1=1, pod_3=1).change(releases, step)
    assert releases.promoted().release == 1


def test_a_rollback_asks_no_canary(releases, fleet):
    step = Step(1, (), BECAUSE, "rolled back", releases.record(2, (1,), BECAUSE))
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


def test_without_a_server_it_says_where_to_look(fleet):
    with pytest.raises(PromotionError, match="no Triton answers at triton:8001: see `kubectl"):
        fleet().require_live()
