import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from recsys_assets.releases.release import MANIFEST, MissingRelease, Reason, Releases
from recsys_assets.rollout.guard import Guard
from recsys_assets.rollout.promotion import (
    PromotionError,
    promote,
    promote_approved,
    require_judged_against_live,
)
from recsys_assets.rollout.single_server import SingleServer
from recsys_assets.storage import Store
from recsys_assets_tests.serving.tiny_release import publish_tiny_release

BECAUSE = Reason("prices have changed", "drift_sensor")


@pytest.fixture
def releases(tmp_path):
    return Releases(Store((tmp_path / "storage").as_uri()))


def publish(releases: Releases, **manifest: object) -> int:
    with releases.new() as draft:
        described = {"release": int(draft.version), **manifest}
        (draft.path / MANIFEST).write_text(json.dumps(described))
    return int(draft.version)


def publish_slowly(url: str, half_written: str) -> None:
    with Releases(Store(url)).new() as draft:
        (draft.path / "part").write_text("half")
        Path(half_written).touch()
        time.sleep(60)


def publish_in_process(url: str) -> int:
    return publish(Releases(Store(url)))


def test_numbers_rise(releases):
    assert [publish(releases) for _ in range(3)] == [1, 2, 3]
    assert releases.numbers() == [1, 2, 3]
    assert releases.latest() == 3
    assert releases.manifest(2) == {"release": 2}


def test_a_candidate_is_no_release_of_initial_models(releases):
    with pytest.raises(MissingRelease, match="materialize triton_model_repository"):
        releases.latest_initial()
    initial = publish(releases)
    publish(releases, base_release=initial)
    assert releases.latest_initial() == initial


def test_a_run_finds_the_last_release_that_it_or_its_first_try_has_made(releases):
    for run_id in ("first", "first", "other", None):
        publish(releases, run_id=run_id)
    assert releases.made_by("second", "first") == 2
    assert releases.made_by("second", None) is None


def test_a_candidate_is_refused_once_another_release_than_its_base_is_live(releases):
    base = publish(releases)
    candidate = publish(releases, base_release=base)
    for live in (base, candidate):  # the second: promoted before the run was killed
        releases.record(live, ())
        require_judged_against_live(releases, candidate)
    releases.record(publish(releases), ())
    with pytest.raises(PromotionError, match="held against release 1, but release 3 is live"):
        require_judged_against_live(releases, candidate)


def test_an_error_leaves_nothing(releases):
    with pytest.raises(RuntimeError), releases.new() as draft:
        (draft.path / MANIFEST).write_text("{}")
        raise RuntimeError
    assert releases.numbers() == []
    assert publish(releases) == 1


def test_a_kill_while_rendering_leaves_nothing_visible(releases, tmp_path):
    half_written = tmp_path / "half_written"
    process = multiprocessing.get_context("spawn").Process(
        target=publish_slowly, args=(releases.store.url, str(half_written))
    )
    process.start()
    while not half_written.exists():
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert releases.numbers() == []
    assert publish(releases) == 1
    assert [path.name for path in (tmp_path / "storage/releases").iterdir() if path.is_dir()] == [
        "1"
    ]


def test_concurrent_renderings_get_numbers_of_their_own(releases):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        numbers = pool.map(publish_in_process, [releases.store.url] * 6)
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    assert releases.numbers() == [1, 2, 3, 4, 5, 6]


def test_a_missing_release_is_named(releases):
    publish(releases)
    with pytest.raises(MissingRelease, match=r"release 7 does not exist .*\[1\]"):
        releases.fetch(7)


def test_promotions_are_remembered_in_order(releases):
    assert releases.promoted() is None
    releases.record(1, ())
    promoted = releases.record(2, (1,))
    assert releases.promoted() == promoted
    assert promoted.previous == 1


def test_an_unapproved_release_is_not_promoted(releases, tmp_path):
    publish(releases)
    server = SingleServer("127.0.0.1:1", tmp_path / "models")
    with pytest.raises(PromotionError, match="release 1 has not passed its canary check"):
        promote_approved(releases, server, None, BECAUSE, Guard())


def test_a_rejected_release_is_not_promoted(releases, tmp_path):
    releases.approve(publish(releases))
    releases.reject(1, "worse than the live release by 0.01 NDCG@10")
    server = SingleServer("127.0.0.1:1", tmp_path / "models")
    with pytest.raises(PromotionError, match=r"release 1 has been rejected: worse than the live"):
        promote_approved(releases, server, None, BECAUSE, Guard())


def test_a_rejection_keeps_the_release_and_names_the_reason(releases):
    publish(releases)
    assert releases.rejection(1) is None
    releases.reject(1, "forgets")
    assert releases.rejection(1) == "forgets"
    assert releases.numbers() == [1]
    with pytest.raises(MissingRelease):
        releases.reject(2, "there is none")


def test_promotion_without_a_server_says_how_to_start_it(releases, tmp_path):
    release = publish_tiny_release(releases)
    with pytest.raises(PromotionError, match=r"no Triton answers at 127\.0\.0\.1:1: start it"):
        promote(releases, SingleServer("127.0.0.1:1", tmp_path / "models"), release)
    assert releases.promoted() is None
