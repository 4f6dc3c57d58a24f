import pytest

from recsys_assets.serving.release import Releases
from recsys_assets.serving.rendering import TEMPLATES
from recsys_assets.serving.repository import add_version, remove_versions, write_configs
from recsys_assets.storage import Store
from recsys_assets_tests.serving.tiny_release import publish_tiny_release


@pytest.fixture
def repository(tmp_path):
    return tmp_path / "live"


def published(folder, count=1):
    releases = Releases(Store(folder.as_uri()))
    for _ in range(count):
        publish_tiny_release(releases)
    return releases


def versions(repository, stage):
    return {path.name for path in (repository / stage).iterdir() if path.is_dir()}


def test_a_release_is_laid_beside_the_one_before(repository, tmp_path):
    releases = published(tmp_path / "store", count=2)
    for release in (1, 2):
        add_version(releases.fetch(release) / "models", repository, release)
    assert versions(repository, "rank") == {"1", "2"}
    assert (repository / "rank/2/model.py").samefile(releases.fetch(2) / "models/rank/2/model.py")


def test_a_number_that_another_store_has_used_is_not_mistaken_for_it(repository, tmp_path):
    for name in ("old", "new"):
        add_version(published(tmp_path / name).fetch(1) / "models", repository, 1)
    new = tmp_path / "new/releases/1/models/retrieve/1/release.json"
    assert (repository / "retrieve/1/release.json").samefile(new)


def test_other_versions_and_what_a_kill_has_left_are_removed(repository, tmp_path):
    releases = published(tmp_path / "store", count=2)
    for release in (1, 2):
        add_version(releases.fetch(release) / "models", repository, release)
    (repository / "rank/.2.half-written").mkdir()
    (repository / "rank/.config.pbtxt.half-written").touch()
    write_configs(TEMPLATES, repository, 2)
    remove_versions(repository, [2])
    assert {path.name for path in (repository / "rank").iterdir()} == {"2", "config.pbtxt"}


def test_configs_that_stay_the_same_are_not_touched(repository):
    write_configs(TEMPLATES, repository, 1)
    before = {path: path.stat().st_mtime_ns for path in repository.glob("*/config.pbtxt")}
    write_configs(TEMPLATES, repository, 2)
    touched = {path.parent.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert touched == {"recommend"}
