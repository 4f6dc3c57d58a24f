"""Releases of the same weights over newer data: what is remembered of them, and rollbacks."""

import json
from contextlib import nullcontext

import pytest

from recsys_assets.releases.release import MANIFEST, Reason, Releases
from recsys_assets.rollout import promotion
from recsys_assets.rollout.promotion import (
    PromotionError,
    promote,
    require_judged_against_live,
    rollback,
)
from recsys_assets.storage import Store

BECAUSE = Reason("a test", "pytest")


class Switch:
    """A server that is always there, and switches at once."""

    def exclusive(self):
        return nullcontext()

    def change(self, releases, step):
        return releases.record(step.release, step.before, step.reason, step.action, step.serving)

    def confirm(self, releases, serving):
        pass


@pytest.fixture
def releases(tmp_path, monkeypatch):
    monkeypatch.setattr(promotion, "verify", lambda *_: None)
    return Releases(Store(tmp_path.as_uri()))


def publish(releases, weights=None, data="2025-03-01", base=None):
    """A release of weights of its own, or (weights) a refresh of those of another."""
    with releases.new() as draft:
        described = {"item_features_day": data, "base_release": base}
        (draft.path / MANIFEST).write_text(json.dumps(described))
    release = int(draft.version)
    if weights is not None:
        releases.note_refresh(release, weights)
    return release


def live_through(releases, *weights):
    """Promotes releases of these weights one after another; None for weights of its own."""
    for of in weights:
        promote(releases, Switch(), publish(releases, of), BECAUSE)
    return releases.promoted()


def test_a_refresh_has_the_weights_of_another_release(releases):
    publish(releases), publish(releases, weights=1), publish(releases)

    assert [releases.weights_of(release) for release in (1, 2, 3)] == [1, 1, 3]
    assert releases.refreshes() == {2: 1}


def test_it_is_known_whose_weights_they_were_when_a_refresh_is_long_gone(releases, tmp_path):
    publish(releases), publish(releases, weights=1)
    (tmp_path / f"releases/2/{MANIFEST}").unlink()

    assert releases.numbers() == [1]
    assert releases.weights_of(2) == 1


def test_what_a_killed_note_has_left_is_none(releases, tmp_path):
    releases.note_refresh(2, 1)
    (tmp_path / "releases/refreshes/1/.3.partial").touch()

    assert releases.refreshes() == {2: 1}


def test_without_any_refresh_rollbacks_go_back_one_after_another(releases):
    assert live_through(releases, None, None, None).before == (1, 2)


def test_of_weeks_of_refreshes_only_the_last_is_remembered(releases):
    live = live_through(releases, None, None, *[2] * 60)

    assert (live.release, live.before) == (62, (1, 61))
    assert live_through(releases, None).before == (1, 61, 62)


def test_a_rollback_goes_back_to_the_data_before(releases):
    live_through(releases, None, None, 2, 2)

    assert rollback(releases, Switch(), BECAUSE).release == 3


def test_a_rollback_of_weights_passes_over_their_older_data(releases):
    live_through(releases, None, 1, None, 3, 3)
    changed = rollback(releases, Switch(), BECAUSE, expected_release=3, weights=True)

    assert (changed.release, changed.before) == (2, (1,))
    for release in (3, 4, 5):  # nothing may promote the weights again, over whatever data
        assert releases.rejection(release) == "rolled back: a test"


def test_weights_that_are_taken_back_already_are_not_again(releases):
    live_through(releases, None, None, 2, 2)
    back = rollback(releases, Switch(), BECAUSE, expected_release=2, weights=True)

    assert rollback(releases, Switch(), BECAUSE, expected_release=2, weights=True) == back
    assert back.release == 1


def test_the_data_before_of_the_same_weights_is_no_way_back_from_them(releases):
    live_through(releases, None, None, 2, 2)
    assert rollback(releases, Switch(), BECAUSE, expected_release=4).release == 3

    assert rollback(releases, Switch(), BECAUSE, expected_release=2, weights=True).release == 1


def test_weights_that_others_have_replaced_are_not_taken_back(releases):
    live_through(releases, None, None, 2, None)

    with pytest.raises(PromotionError, match="release 2 was to be taken back, but release 4 is"):
        rollback(releases, Switch(), BECAUSE, expected_release=2, weights=True)
    assert releases.promoted().release == 4


def test_the_first_release_cannot_be_taken_back(releases):
    for _ in range(2):
        with pytest.raises(PromotionError, match="no earlier release"):
            rollback(releases, Switch(), BECAUSE)
        live_through(releases, None)
    assert releases.rejection(1) is None


def test_the_first_weights_cannot_be_taken_back(releases):
    live_through(releases, None, 1)

    with pytest.raises(PromotionError, match="no earlier release"):
        rollback(releases, Switch(), BECAUSE, expected_release=1, weights=True)
    assert rollback(releases, Switch(), BECAUSE).release == 1


def test_a_refresh_overtakes_no_judgement_of_weights(releases):
    live_through(releases, None)
    candidate = publish(releases, base=1)
    live_through(releases, 1)

    require_judged_against_live(releases, candidate)


def test_other_weights_overtake_a_refresh(releases):
    live_through(releases, None)
    refresh = publish(releases, weights=1, base=1)
    live_through(releases, None)

    with pytest.raises(PromotionError, match="held against release 1, but release 3 is live"):
        require_judged_against_live(releases, refresh)


def test_a_refresh_never_takes_live_data_back_to_an_earlier_day(releases):
    live_through(releases, None)
    older = publish(releases, weights=1, base=1, data="2025-03-02")
    newer = publish(releases, weights=1, base=1, data="2025-03-03")
    promote(releases, Switch(), newer, BECAUSE)

    with pytest.raises(PromotionError, match="the data of 2025-03-02, but release 3 with those"):
        require_judged_against_live(releases, older)
