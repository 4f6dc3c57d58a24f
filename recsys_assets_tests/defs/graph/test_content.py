import dagster as dg
import pyarrow as pa
import pytest

from recsys_assets.defs.graph.content import item_text_embeddings, item_text_embeddings_are_sound
from recsys_assets.defs.resources import StoreResource
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
