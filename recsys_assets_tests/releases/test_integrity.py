import pytest

from recsys_assets.releases.release_writing import CorruptRelease, digests, verify


@pytest.fixture
def release(tmp_path):
    """A folder with two files, and the manifest of it."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models/ranker.onnx").write_bytes(b"weights")
    (tmp_path / "models/items.json").write_bytes(b"[]")
    return tmp_path, {"release": 3, "files": digests(tmp_path)}


def test_what_was_rendered_is_sound(release):
    verify(*release)


def test_bytecode_is_no_part_of_a_release(release):
    folder, manifest = release
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/model.pyc").touch()
    assert digests(folder) == manifest["files"]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(b"weig"), "has 4 bytes instead of 7"),
        (lambda file: file.write_bytes(b"weighty"), "is not what was rendered"),
    ],
)
def test_a_damaged_file_is_named(release, damage, named):
    folder, manifest = release
    damage(folder / "models/ranker.onnx")
    with pytest.raises(CorruptRelease, match=rf"release 3 is damaged: .*ranker\.onnx {named}"):
        verify(folder, manifest)


def test_a_manifest_without_files_proves_nothing(release):
    folder, _ = release
    with pytest.raises(CorruptRelease, match=r"the manifest of release 3 .* lists no files"):
        verify(folder, {"release": 3})
