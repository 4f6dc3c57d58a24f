import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.content.catalogue import embed_items, embedding_faults
from recsys_assets.content.encoder import embeddings_from_arrow, embeddings_to_arrow
from recsys_assets.storage import Store
from recsys_assets_tests.content.hashing_encoder import HashingEncoder


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path.as_uri())


def write_items(store, texts):
    item_ids = [f"i{n}" for n in range(len(texts))]
    store.table("items").write(
        pa.table({"item_id": item_ids, "text": pa.array(texts, pa.string())})
    )


def test_items_of_one_text_share_a_vector(store):
    write_items(store, ["tea", "bread", "tea", None, ""])
    encoder = HashingEncoder()

    result = embed_items(store, encoder)

    assert sorted(encoder.encoded) == ["", "bread", "tea"]
    assert result.items == 5
    assert result.items_without_text == 2
    rows = store.table("item_text_embeddings").read()
    assert rows["item_id"].to_pylist() == ["i0", "i1", "i2", "i3", "i4"]
    assert rows.schema.field("embedding").type == pa.list_(pa.float32(), 8)
    embeddings = embeddings_from_arrow(rows["embedding"])
    np.testing.assert_array_equal(embeddings[0], encoder.vector("tea"))
    np.testing.assert_array_equal(embeddings[0], embeddings[2])
    np.testing.assert_array_equal(embeddings[3], embeddings[4])


def test_the_digest_follows_texts_and_encoder(store):
    write_items(store, ["tea", "bread"])
    first = embed_items(store, HashingEncoder()).digest
    again = embed_items(store, HashingEncoder()).digest
    newer = embed_items(store, HashingEncoder("hashing@2")).digest
    write_items(store, ["bread", "tea"])
    other = embed_items(store, HashingEncoder()).digest

    assert first == again
    assert len({first, newer, other}) == 3


def test_an_empty_catalogue_is_an_error(store):
    write_items(store, [])

    with pytest.raises(ValueError, match="'items' is empty"):
        embed_items(store, HashingEncoder())


def test_sound_embeddings_have_no_faults(store):
    write_items(store, ["tea", "bread"])
    embed_items(store, HashingEncoder())

    assert not embedding_faults(store).any


@pytest.mark.parametrize(
    ("vectors", "item_ids", "fault", "poison"),
    [
        ([[1, 0], [np.nan, 0]], ["i0", "i1"], "not_finite", True),
        ([[1, 0], [3, 0]], ["i0", "i1"], "not_unit_norm", True),
        ([[1, 0], [1, 0], [1, 0]], ["i0", "i1", "i1"], "repeated_items", True),
        ([[1, 0]], ["i0"], "items_without_embedding", False),
        ([[1, 0], [1, 0], [1, 0]], ["i0", "i1", "ghost"], "unknown_items", False),
    ],
)
def test_faults_are_counted(store, vectors, item_ids, fault, poison):
    write_items(store, ["tea", "bread"])
    embedding = embeddings_to_arrow(np.array(vectors, dtype=np.float32))
    store.table("item_text_embeddings").write(
        pa.table({"item_id": item_ids, "embedding": embedding})
    )

    faults = embedding_faults(store)

    assert faults.any
    assert faults.poison == poison
    assert getattr(faults, fault) == 1


def test_arrow_round_trip_of_a_slice():
    embeddings = np.arange(12, dtype=np.float32).reshape(4, 3)

    column = embeddings_to_arrow(embeddings)

    np.testing.assert_array_equal(embeddings_from_arrow(column.slice(1, 2)), embeddings[1:3])
