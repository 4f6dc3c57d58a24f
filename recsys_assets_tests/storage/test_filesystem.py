"""Folders on a disk; on S3 they are tested by what reads them."""

import pytest

from recsys_assets.storage.filesystem import files_below


@pytest.fixture
def folder(tmp_path):
    for name in ("b.parquet", "day=1/.hidden", "day=1/a.parquet"):
        path = tmp_path / "delivered" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "delivered"


def test_files_are_found_at_any_depth(folder):
    assert files_below(folder.as_uri()) == ["b.parquet", "day=1/.hidden", "day=1/a.parquet"]


def test_a_folder_that_is_a_link_is_looked_into(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    (folder / "day=2").symlink_to(folder / "day=1")
    assert "day=2/a.parquet" in files_below((tmp_path / "link").as_uri())


def test_where_there_is_no_folder_nothing_is_found(tmp_path):
    assert files_below((tmp_path / "away").as_uri()) == []
