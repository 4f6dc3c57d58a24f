import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.defs.graph.content import (
    item_image_embeddings,
    item_images_are_usable,
    item_text_embeddings,
    item_text_embeddings_are_sound,
    nearest_as_markdown,
)
from recsys_assets.defs.resources import ImageEncoderResource, SourceResource, StoreResource
from recsys_assets_tests.content.colour_encoder import ColourEncoderResource, picture_file
from recsys_assets_tests.content.hashing_encoder import HashingEncoderResource


def materialize(url):
    return dg.materialize(
        [dg.AssetSpec("items"), item_text_embeddings, item_text_embeddings_are_sound],
        selection=[item_text_embeddings],
        resources={"store": StoreResource(url=url), "text_encoder": HashingEncoderResource()},
    )


def test_the_asset_embeds_the_catalogue_and_passes_its_check(tmp_path):
    store = StoreResource(url=tmp_path.as_uri())
    store.get().table("items").write(
        pa.table({"item_id": ["a", "b", "c"], "text": ["tea", "tea", "bread"]})
    )

    first = materialize(store.url)
    second = materialize(store.url)

    [made] = first.asset_materializations_for_node("item_text_embeddings")
    [again] = second.asset_materializations_for_node("item_text_embeddings")
    assert made.metadata["dagster/row_count"].value == 3
    assert made.metadata["distinct_texts"].value == 2
    assert made.metadata["newly_encoded"].value == 2
    assert again.metadata["newly_encoded"].value == 0
    assert made.tags["dagster/data_version"] == again.tags["dagster/data_version"]
    [check] = first.get_asset_check_evaluations()
    assert check.passed


@pytest.mark.parametrize("catalogue", [["a", "b", "new"], ["a"]])
def test_a_catalogue_that_changed_meanwhile_is_told_of_and_stops_nothing(tmp_path, catalogue):
    store = StoreResource(url=tmp_path.as_uri())
    items = store.get().table("items")
    items.write(pa.table({"item_id": ["a", "b"], "text": ["tea", "bread"]}))
    materialize(store.url)
    items.write(pa.table({"item_id": catalogue, "text": catalogue}))

    check = item_text_embeddings_are_sound(store)

    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN


def test_nearest_texts_are_a_table():
    embeddings = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)

    assert "| a | b\\|c (0.80)<br>d (0.00) |" in nearest_as_markdown(["a", "b|c", "d"], embeddings)


def materialize_images(store, delivery, encoder, raise_on_error=True):
    source = SourceResource(
        name="parquet", packaged_data="", first_day="2025-01-01", url=delivery.as_uri()
    )
    return dg.materialize(
        [dg.AssetSpec("items"), item_image_embeddings, item_images_are_usable],
        selection=[item_image_embeddings],
        resources={"store": store, "source": source, "image_encoder": encoder},
        raise_on_error=raise_on_error,
    )


@pytest.fixture
def store(tmp_path):
    return StoreResource(url=(tmp_path / "store").as_uri())


def write_images(store, images):
    rows = {"item_id": [f"i{n}" for n in range(len(images))], "image": images}
    store.get().table("items").write(pa.table(rows))


@pytest.mark.parametrize(("good", "passed"), [(50, False), (150, True)])
def test_the_asset_embeds_pictures_and_its_check_tells_of_those_that_it_could_not(
    tmp_path, store, good, passed
):
    (tmp_path / "a.png").write_bytes(picture_file("red"))
    (tmp_path / "text.png").write_text("no picture")
    write_images(store, ["text.png", "", *["a.png"] * good])

    run = materialize_images(store, tmp_path, ColourEncoderResource())

    [made] = run.asset_materializations_for_node("item_image_embeddings")
    found = {name: made.metadata[name].value for name in ("embedded", "broken", "missing")}
    assert found == {"embedded": good, "broken": 1, "missing": 0}
    assert made.metadata["items_without_image"].value == 1
    assert "| i0 | text.png | broken |" in made.metadata["unusable"].value
    assert "data:image/png" in made.metadata["nearest_pictures"].value
    [check] = run.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert check.metadata["share_broken"].value == 1 / (good + 1)


def test_a_catalogue_without_pictures_needs_no_weights(tmp_path, store):
    write_images(store, ["", ""])

    run = materialize_images(store, tmp_path, ImageEncoderResource(packaged_data=str(tmp_path)))

    [made] = run.asset_materializations_for_node("item_image_embeddings")
    assert (made.metadata["dagster/row_count"].value, made.metadata["items"].value) == (0, 2)
    assert all(check.passed for check in run.get_asset_check_evaluations())


def test_a_catalogue_with_pictures_and_no_weights_is_told_the_remedy(tmp_path, store):
    (tmp_path / "a.png").write_bytes(picture_file("red"))
    write_images(store, ["a.png"])

    run = materialize_images(
        store, tmp_path, ImageEncoderResource(packaged_data=str(tmp_path)), raise_on_error=False
    )

    [failure] = run.get_step_failure_events()
    assert "run `make setup-image-encoder`" in str(failure.step_failure_data.error)
