"""Folders on a disk; on S3 they are tested by what reads them."""

import pytest

from recsys_assets.storage.filesystem import (
    below,
    file_states,
    files_below,
    local_path,
    write_atomically,
)
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


def test_the_state_of_a_file_changes_when_it_is_replaced(folder):
    (folder / "a b.jpg").write_bytes(b"123")
    first = file_states(folder.as_uri(), ["a b.jpg", "day=1/a.parquet", "day=1", "c.jpg"])
    (folder / "new").write_bytes(b"456")
    (folder / "new").replace(folder / "a b.jpg")

    second = file_states(folder.as_uri(), ["a b.jpg", "day=1/a.parquet"])

    assert set(first) == set(second) == {"a b.jpg", "day=1/a.parquet"}
    assert first["a b.jpg"].size == second["a b.jpg"].size == 3
    assert first["a b.jpg"].version != second["a b.jpg"].version
    assert first["day=1/a.parquet"] == second["day=1/a.parquet"]


def test_a_link_leads_within_its_folder_only(folder, tmp_path):
    (tmp_path / "secret").write_bytes(b"1")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    (folder / "in").symlink_to(folder / "b.parquet")
    (folder / "round").symlink_to(folder / "round")
    paths = ["out", "up/secret", "in", "round", "n" * 300, "b.parquet/x"]

    assert set(file_states(folder.as_uri(), paths)) == {"in"}


@pytest.mark.integration
def test_states_of_objects_are_those_of_the_listing(proxy):
    write_atomically("s3://shop/data/a b.jpg", b"123")
    write_atomically("s3://shop/data2/c.jpg", b"123")
    asked = len(proxy.seen)

    found = file_states("s3://shop/data", ["a b.jpg", "c.jpg"])

    assert [(path, state.size) for path, state in found.items()] == [("a b.jpg", 3)]
    assert len(proxy.seen) == asked + 1
    assert file_states("s3://shop/data", []) == {}
    assert len(proxy.seen) == asked + 1
