import os

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.content import item_images
from recsys_assets.content.item_images import SCHEMA, TABLE, embed_item_images
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import write_atomically
from recsys_assets_tests.content.colour_encoder import ColourEncoder, picture_file

COLOURS = {f"c{n}.png": (n * 12, 255 - n * 12, n * 7) for n in range(20)}


@pytest.fixture
def store(tmp_path):
    return Store((tmp_path / "store").as_uri())


@pytest.fixture
def delivery(tmp_path):
    folder = tmp_path / "delivery"
    folder.mkdir()
    for name, colour in COLOURS.items():
        (folder / name).write_bytes(picture_file(colour))
    return folder


def write_items(store, images):
    store.table("items").write(
        pa.table({"item_id": list(images), "image": pa.array(images.values(), pa.string())})
    )


def embed(store, delivery, encoder=None, progress=lambda done, total: None):
    encoder = encoder or ColourEncoder()
    return embed_item_images(store, delivery.as_uri(), lambda: encoder, progress)


def rows_of(store):
    return {row["item_id"]: row for row in store.table(TABLE).read().to_pylist()}


def test_every_item_with_a_picture_has_its_vector(store, delivery):
    write_items(store, {f"i{n}": name for n, name in enumerate(COLOURS)})

    result = embed(store, delivery)

    rows = rows_of(store)
    assert (result.items, result.embedded, result.newly_encoded) == (20, 20, 20)
    assert result.contact_sheet.startswith(b"\x89PNG")
    for n, colour in enumerate(COLOURS.values()):
        [vector] = ColourEncoder.vectors([colour])
        np.testing.assert_allclose(rows[f"i{n}"]["embedding"], vector, atol=1e-6)
        assert rows[f"i{n}"]["fault"] is None


def test_items_share_a_picture_and_pictures_a_content(store, delivery):
    (delivery / "copy.png").write_bytes((delivery / "c3.png").read_bytes())
    write_items(store, {"a": "c3.png", "b": "c3.png", "c": "copy.png", "d": None, "e": ""})
    encoder = ColourEncoder()

    result = embed(store, delivery, encoder)

    rows = rows_of(store)
    assert encoder.encoded == 1
    assert (result.embedded, result.pictures, result.with_image) == (3, 1, 3)
    assert rows["a"]["embedding"] == rows["b"]["embedding"] == rows["c"]["embedding"]
    assert sorted(rows) == ["a", "b", "c"]


@pytest.mark.parametrize("url", [None, "file:///away"])
def test_a_catalogue_without_pictures_costs_no_encoder(store, url):
    write_items(store, {"a": None, "b": ""})

    result = embed_item_images(store, url, lambda: pytest.fail("not needed"))

    assert (result.items, result.with_image, result.encoder) == (2, 0, None)
    assert store.table(TABLE).read().schema == SCHEMA


def test_pictures_without_a_delivery_are_an_error(store):
    write_items(store, {"a": "a.png"})

    with pytest.raises(ValueError, match=r"1 items name an image, .*RECSYS_SOURCE_URL"):
        embed_item_images(store, None, ColourEncoder)


def test_what_cannot_be_used_is_told_of_and_stops_nothing(store, delivery):
    (delivery / "text.png").write_text("no picture")
    (delivery / "again.png").write_text("no picture")
    with (delivery / "huge.png").open("wb") as file:
        file.truncate(33 << 20)
    images = {
        "good": "c1.png",
        "away": "away.png",
        "text": "text.png",
        "again": "again.png",
        "huge": "huge.png",
        "out": "../store/secret.png",
    }
    write_items(store, images)

    result = embed(store, delivery)

    faults = {item_id: row["fault"] for item_id, row in rows_of(store).items()}
    assert faults == {
        "good": None,
        "away": "missing",
        "text": "broken",
        "again": "broken",
        "huge": "too_large",
        "out": "outside",
    }
    assert result.faults == {"outside": 1, "missing": 1, "too_large": 1, "broken": 2}
    assert (result.embedded, result.with_image) == (1, 6)
    assert ("huge", "huge.png", "too_large") in [example[:3] for example in result.examples]
    assert all(row["reason"] for item_id, row in rows_of(store).items() if item_id != "good")


def test_where_no_picture_can_be_used_there_is_no_sheet(store, delivery):
    write_items(store, {"a": "away.png"})

    assert embed(store, delivery).contact_sheet is None


def test_only_new_and_changed_pictures_are_encoded(store, delivery):
    write_items(store, {f"i{n}": name for n, name in enumerate(COLOURS)})
    embed(store, delivery)
    (delivery / "c4.png").write_bytes(picture_file((1, 2, 3)))
    (delivery / "new.png").write_bytes(picture_file((3, 2, 1)))
    (delivery / "c5.png").rename(delivery / "moved.png")
    names = {"c5.png": "moved.png"}
    write_items(
        store, {f"i{n}": names.get(name, name) for n, name in enumerate([*COLOURS, "new.png"])}
    )
    later = ColourEncoder()

    result = embed(store, delivery, later)

    rows = rows_of(store)
    assert later.encoded == result.newly_encoded == 2
    [changed] = ColourEncoder.vectors([(1, 2, 3)])
    np.testing.assert_allclose(rows["i4"]["embedding"], changed, atol=1e-6)
    assert result.embedded == 21


def test_a_picture_that_was_not_replaced_is_not_read_again(store, delivery, monkeypatch):
    write_items(store, {"a": "c1.png", "b": "c2.png"})
    embed(store, delivery)
    os.utime(delivery / "c2.png", ns=(1, 1))
    read = []
    monkeypatch.setattr(
        item_images.Delivery,
        "read",
        lambda self, path: read.append(path) or (delivery / path).read_bytes(),
    )
    monkeypatch.setattr(item_images, "contact_sheet", lambda *_: b"")

    embed(store, delivery)

    assert read == ["c2.png"]


def test_another_version_encodes_again(store, delivery):
    write_items(store, {"a": "c1.png", "b": "c2.png"})
    embed(store, delivery)
    newer = ColourEncoder("colour@2")

    assert embed(store, delivery, newer).newly_encoded == newer.encoded == 2


def test_a_picture_that_is_mended_is_encoded(store, delivery):
    (delivery / "c1.png").write_text("no picture")
    write_items(store, {"a": "c1.png"})
    assert embed(store, delivery).faults["broken"] == 1
    (delivery / "c1.png").write_bytes(picture_file("red"))

    assert embed(store, delivery).embedded == 1


def test_a_picture_that_is_replaced_while_it_is_read_waits_for_the_next_run(
    store, delivery, monkeypatch
):
    write_items(store, {"a": "c1.png"})
    pictures = iter([picture_file("red"), picture_file("blue")])
    monkeypatch.setattr(item_images.Delivery, "read", lambda self, path: next(pictures))

    result = embed(store, delivery)

    assert result.faults["broken"] == 1
    assert "replaced while it was read" in rows_of(store)["a"]["reason"]


def test_a_kill_leaves_the_last_table_and_loses_one_shard(store, delivery):
    write_items(store, {"a": "c1.png"})
    embed(store, delivery)
    before = rows_of(store)
    write_items(store, {f"i{n}": name for n, name in enumerate(COLOURS)})
    with pytest.raises(RuntimeError, match="killed"):
        embed(store, delivery, ColourEncoder(fail_on=COLOURS["c17.png"]))
    assert rows_of(store) == before
    again = ColourEncoder()

    result = embed(store, delivery, again)

    assert result.embedded == 20
    assert 0 < again.encoded < 20


def test_the_digest_follows_pictures_and_encoder(store, delivery):
    write_items(store, {"a": "c1.png", "b": "c2.png"})
    first, again = embed(store, delivery).digest, embed(store, delivery).digest
    newer = embed(store, delivery, ColourEncoder("colour@2")).digest
    (delivery / "c1.png").write_bytes(picture_file("red"))
    changed = embed(store, delivery).digest

    assert first == again
    assert len({first, newer, changed}) == 3


def test_progress_counts_the_pictures_that_are_done(store, delivery):
    write_items(store, {f"i{n}": name for n, name in enumerate([*COLOURS, "away.png"])})
    told = []

    embed(store, delivery, progress=lambda done, total: told.append((done, total)))

    assert told == sorted(told)
    assert told[-1] == (21, 21)


@pytest.mark.integration
def test_pictures_in_a_bucket(store, s3_environment, monkeypatch, tmp_path):
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    folder = f"s3://shop/{tmp_path.name}"
    write_atomically(f"{folder}/images/a b.png", picture_file((10, 20, 30)))
    write_items(
        store,
        {"a": "images/a b.png", "b": f"{folder}/images/a b.png", "c": "c.png", "d": "s3://x/d.png"},
    )

    result = embed_item_images(store, folder, ColourEncoder)

    assert {item: row["fault"] for item, row in rows_of(store).items()} == {
        "a": None,
        "b": None,
        "c": "missing",
        "d": "outside",
    }
    assert result.pictures == 1
