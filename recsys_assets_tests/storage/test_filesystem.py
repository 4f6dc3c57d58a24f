"""Folders on a disk; on S3 they are tested by what reads them."""

import pytest

from recsys_assets.storage.filesystem import below, files_below, local_path
from recsys_assets.storage.s3 import bucket_and_key

AWKWARD = ("a b", "a%20b", "09%3A00", "week #1", "what?", "100%", "ünï", "sub/a=b;c&d+e")


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


@pytest.mark.parametrize("name", AWKWARD)
def test_a_name_is_found_by_its_url_whatever_its_characters(tmp_path, name):
    assert local_path(below(tmp_path.as_uri(), name)) == tmp_path / name
    assert bucket_and_key(below("s3://shop/data", name)) == ("shop", f"data/{name}")


@pytest.mark.parametrize("url", ["file:///data/week#1", "file:///data/what?"])
def test_a_url_that_would_be_cut_is_refused(url):
    with pytest.raises(ValueError, match="write # as %23"):
        local_path(f"{url}x")
