"""Which release an agent wants, and the folders that it is given."""

import pytest

from recsys_assets.releases.release import MANIFEST, Releases
from recsys_assets.releases.release_writing import CorruptRelease
from recsys_assets.rollout import following
from recsys_assets.rollout.following import DesiredRelease, Following, newest, promoted
from recsys_assets.storage import Store
from recsys_assets_tests.serving.tiny_release import publish_tiny_release


@pytest.fixture
def releases(tmp_path):
    return Releases(Store((tmp_path / "storage").as_uri(), tmp_path / "agent"))


def unreachable(_):
    raise OSError("connection refused")


class TestWhatIsWanted:
    def test_the_promoted_release_and_the_one_before_it(self, releases):
        assert promoted(releases) is None
        releases.record(1, ())
        assert promoted(releases) == DesiredRelease(1, None)
        releases.record(2, (1,))
        assert promoted(releases) == DesiredRelease(2, 1)

    def test_the_newest_one_that_was_not_rejected(self, releases):
        assert newest(releases) is None
        for _ in range(3):
            publish_tiny_release(releases)
        assert newest(releases) == DesiredRelease(3)
        releases.reject(3, "worse")
        assert newest(releases) == DesiredRelease(2)

    def test_a_release_without_a_manifest_is_none_yet(self, releases, tmp_path):
        publish_tiny_release(releases)
        (tmp_path / "storage" / "releases" / "2").mkdir()
        assert newest(releases) == DesiredRelease(1)


class TestMemory:
    def test_what_was_read_last_outlives_store_and_agent(self, releases):
        releases.record(2, (1,))
        Following(releases, promoted).look()
        after = Following(releases, unreachable)
        with pytest.raises(OSError, match="connection refused"):
            after.look()
        assert after.wanted == DesiredRelease(2, 1)

    @pytest.mark.parametrize("damaged", ["", "{", "[]", '{"previous": 1}'])
    def test_where_it_is_damaged_the_store_says_it(self, releases, tmp_path, damaged):
        releases.record(2, (1,))
        Following(releases, promoted).look()
        (tmp_path / "agent/wanted.json").write_text(damaged)
        after = Following(releases, promoted)
        assert after.wanted is None
        after.look()
        assert after.wanted == DesiredRelease(2, 1)

    def test_a_store_that_has_lost_its_record_changes_nothing(self, releases):
        releases.record(2, (1,))
        agent = Following(releases, promoted)
        agent.look()
        agent.policy = lambda _: None
        agent.look()
        assert agent.wanted == DesiredRelease(2, 1)


class TestFolders:
    def test_a_release_is_verified_once(self, releases, monkeypatch):
        release, verified = publish_tiny_release(releases), []
        monkeypatch.setattr(following, "verify", lambda *_: verified.append(1))
        agent = Following(releases, promoted)
        assert agent.fetch(release) == agent.fetch(release) == releases.fetch(release)
        assert verified == [1]

    def test_a_damaged_one_is_refused(self, releases):
        release = publish_tiny_release(releases)
        (releases.fetch(release) / f"models/pipeline/{release}/vectors.npy").write_bytes(b"")
        with pytest.raises(CorruptRelease, match="has 0 bytes"):
            Following(releases, promoted).fetch(release)
        assert releases.fetch(release).is_dir()  # the store's own folder is nobody's to remove

    def test_a_copy_with_a_damaged_manifest_is_fetched_anew(self, releases, tmp_path):
        release = publish_tiny_release(releases)
        copy = tmp_path / "agent/releases" / str(release)
        copy.mkdir(parents=True)
        (copy / MANIFEST).write_text("{")
        agent = Following(releases, promoted)
        with pytest.raises(CorruptRelease, match=r"manifest\.json cannot be read"):
            agent.fetch(release)
        assert not copy.exists()
        assert agent.fetch(release) == releases.fetch(release)

    def test_local_copies_of_others_are_removed(self, releases, tmp_path):
        copies = tmp_path / "agent" / "releases"
        for name in ("1", "2", ".3.half-downloaded"):
            (copies / name).mkdir(parents=True)
        Following(releases, promoted).forget_all_but({2})
        assert [path.name for path in copies.iterdir()] == ["2"]
