"""From a lookup stage to Feast's SDK and back."""

import threading
import uuid

import numpy as np
import pytest

from benchmarks.serving.peers.feast_server import LookupServer, OnlineFeatures
from benchmarks.serving.peers.lookup import Lookup, split


class FeastStore:
    """Answers as `FeatureStore.get_online_features` does: by column, None for missing."""

    def __init__(self):
        self.asked = []

    def get_online_features(self, references, entities):
        self.asked.append((references, entities))
        return self

    def to_dict(self):
        return {
            "item_id": ["a", "b"],
            "brand": ["Näturé", None],
            "shelf": [None, "top"],
            "price": [1.25, None],
            "popularity": [None, 3],
        }


@pytest.fixture
def store():
    return FeastStore()


@pytest.fixture
def lookup(store):
    features = OnlineFeatures(store, "item_id", ["v:brand", "v:shelf"], ["v:price", "v:popularity"])
    name = f"recsys-test-{uuid.uuid4().hex}"
    with LookupServer(name, features) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        lookup = Lookup(name, numbers=2)
        yield lookup
        lookup.close()
        server.shutdown()


def test_features_come_back_by_column_and_missing_ones_are_empty(lookup, store):
    found = lookup.find(["a", "b"])

    brand, shelf = split(found.texts, 2)
    assert brand.tolist() == ["Näturé", ""]
    assert shelf.tolist() == ["", "top"]
    np.testing.assert_array_equal(found.numbers, [[1.25, np.nan], [np.nan, 3]])
    assert found.sdk_seconds >= 0
    assert store.asked == [
        (["v:brand", "v:shelf", "v:price", "v:popularity"], {"item_id": ["a", "b"]})
    ]


def test_a_connection_answers_again_and_again(lookup):
    first, second = lookup.find(["a", "b"]), lookup.find(["a", "b"])
    assert first.texts.tobytes() == second.texts.tobytes()


def test_nothing_there_is_an_error():
    with pytest.raises(ConnectionError):
        Lookup("recsys-test-nobody", numbers=1)


def test_no_text_columns_are_no_columns():
    assert split(np.empty(0, np.uint8), 0) == []
