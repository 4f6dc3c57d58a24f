import errno

import pytest

from recsys_assets.releases.release import Releases
from recsys_assets.releases.rendering import TEMPLATES
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.storage import Store
from recsys_assets.triton.repository import (
    ON_GPU,
    PIPELINE,
    add_version,
    is_laid,
    remove_versions,
    write_configs,
)
from recsys_assets_tests.serving.tiny_release import publish_tiny_release


@pytest.fixture
def repository(tmp_path):
    return tmp_path / "live"


def published(folder, count=1):
    releases = Releases(Store(folder.as_uri()))
    for _ in range(count):
        publish_tiny_release(releases)
    return releases


def versions(repository):
    return {path.name for path in (repository / PIPELINE).iterdir() if path.is_dir()}


def test_a_release_is_laid_beside_the_one_before(repository, tmp_path):
    releases = published(tmp_path / "store", count=2)
    for release in (1, 2):
        add_version(releases.fetch(release) / "models", repository, release)
    assert versions(repository) == {"1", "2"}
    model = f"{PIPELINE}/2/model.py"
    assert (repository / model).samefile(releases.fetch(2) / "models" / model)


def test_a_number_that_another_store_has_used_is_not_mistaken_for_it(repository, tmp_path):
    for name in ("old", "new"):
        add_version(published(tmp_path / name).fetch(1) / "models", repository, 1)
    identity = f"{PIPELINE}/1/release.json"
    assert (repository / identity).samefile(tmp_path / "new/releases/1/models" / identity)


def test_other_versions_and_what_a_kill_has_left_are_removed(repository, tmp_path):
    releases = published(tmp_path / "store", count=2)
    for release in (1, 2):
        add_version(releases.fetch(release) / "models", repository, release)
    (repository / PIPELINE / ".2.half-written").mkdir()
    (repository / PIPELINE / ".config.pbtxt.half-written").touch()
    write_configs(TEMPLATES, repository, 2)
    remove_versions(repository, [2])
    assert {path.name for path in (repository / PIPELINE).iterdir()} == {"2", "config.pbtxt"}


def test_configs_that_stay_the_same_are_not_touched(repository):
    write_configs(TEMPLATES, repository, 1)
    before = {path: path.stat().st_mtime_ns for path in repository.glob("*/config.pbtxt")}
    write_configs(TEMPLATES, repository, 2)
    touched = {path.parent.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert touched == {"recommend", "recommend_cached"}


def test_instances_are_of_the_kind_that_the_server_has(repository):
    write_configs(TEMPLATES, repository, 1)
    config = repository / PIPELINE / "config.pbtxt"
    assert "kind: KIND_CPU }" in config.read_text()
    write_configs(TEMPLATES, repository, 1, ON_GPU)
    assert "kind: KIND_GPU }" in config.read_text()


def test_the_release_is_in_the_version_of_the_cached_ensemble_and_in_both_steps(repository):
    write_configs(TEMPLATES, repository, 7)
    for ensemble in ("recommend", "recommend_cached"):
        assert "model_version: 7" in (repository / ensemble / "config.pbtxt").read_text()
    assert (repository / "recommend/1").is_dir()
    assert (repository / "recommend_cached/7").is_dir()


def test_a_release_of_an_earlier_layout_is_refused(repository, tmp_path):
    (tmp_path / "models/query/3").mkdir(parents=True)
    with pytest.raises(ServiceError, match=r"release 3 has no pipeline/: .* earlier layout"):
        add_version(tmp_path / "models", repository, 3)


def test_files_are_copied_where_a_volume_takes_no_links_from_another(
    repository, tmp_path, monkeypatch
):
    def on_another_mount(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    releases = published(tmp_path / "store")
    monkeypatch.setattr("recsys_assets.triton.repository.os.link", on_another_mount)
    add_version(releases.fetch(1) / "models", repository, 1)
    model = f"{PIPELINE}/1/model.py"
    laid, stored = repository / model, releases.fetch(1) / "models" / model
    assert laid.read_bytes() == stored.read_bytes()
    assert not laid.samefile(stored)


def test_that_very_release_is_laid_or_not(repository, tmp_path):
    old, new = (published(tmp_path / name).fetch(1) / "models" for name in ("old", "new"))
    assert not is_laid(old, repository, 1)
    add_version(old, repository, 1)
    assert is_laid(old, repository, 1)
    assert not is_laid(new, repository, 1)
