"""Changes of a server that aborts, or on which a release no longer loads."""

import pytest

from recsys_assets.releases.release import Reason, Releases
from recsys_assets.rollout import single_server
from recsys_assets.rollout.release_target import NothingServed, PromotionError, ReleaseChange
from recsys_assets.rollout.single_server import SingleServer
from recsys_assets.storage import Store

BECAUSE = Reason("a test", "pytest")
BROKEN = 2


@pytest.fixture
def releases(tmp_path):
    """A release, and the live one after it, which no longer loads."""
    releases = Releases(Store(tmp_path.as_uri()))
    first = releases.record(1, (), BECAUSE, "promoted", None)
    releases.record(BROKEN, (1,), BECAUSE, "promoted", first)
    return releases


@pytest.fixture
def loads(monkeypatch):
    """What the server was told to have in memory, one load after another."""
    told = []

    def load(loaded):
        told.append(loaded)
        if BROKEN in loaded:
            raise PromotionError(f"release {BROKEN} cannot be served")

    stand_ins = {
        "require_live": lambda *_: None,
        "unload": lambda *_: None,
        "bring": lambda _, __, release, answering, ___: load({answering, release}),
        "switch": lambda _, __, ___, loaded: load(loaded),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(single_server, name, stand_in)
    return told


@pytest.mark.parametrize("aborts", [False, True])
def test_a_rollback_leaves_what_no_longer_loads_even_if_the_server_aborts(
    releases, loads, tmp_path, aborts
):
    server = SingleServer("127.0.0.1:1", tmp_path / "models", revive=lambda _: aborts)
    step = ReleaseChange(1, (), BECAUSE, "rolled back", releases.promoted())

    assert server.change(releases, step).release == 1
    assert releases.promoted().release == 1
    assert loads[-1] == {1}


@pytest.mark.parametrize("aborts", [False, True])
def test_a_promotion_does_not_end_what_is_recorded(releases, loads, tmp_path, aborts):
    server = SingleServer("127.0.0.1:1", tmp_path / "models", revive=lambda _: aborts)
    step = ReleaseChange(3, (1, BROKEN), BECAUSE, "promoted", releases.promoted())

    with pytest.raises(NothingServed, match="`recsys up` brings it back"):
        server.change(releases, step)
    assert releases.promoted().release == BROKEN
