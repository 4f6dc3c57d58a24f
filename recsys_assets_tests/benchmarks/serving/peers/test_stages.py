"""What the stages do that is not their modules' own, which are tested there."""

import numpy as np

from benchmarks.serving.peers.candidate_stages import (
    CachedRows,
    ItemLookup,
    ItemTransform,
    LiveRows,
    Retrieval,
    SeenFilter,
)
from benchmarks.serving.peers.columns import LookupColumns
from benchmarks.serving.peers.lookup import Found, split
from benchmarks.serving.peers.ranking_stages import IdDecoder, SoftmaxSampling
from recsys_assets.features.declarations import ITEM_FEATURES
from recsys_assets.features.encoding import Encoding
from recsys_assets.models.inputs import item_inputs
from recsys_assets.models.item_history import Changes
from recsys_assets.pipeline.diversity import Sampling
from recsys_assets.pipeline.retrieve import Depth

IDS = ["a", "b", "c"]
BRANDS = [b"one", b"", b"two"]
NO_PROMOTIONS = Changes(np.empty(0, np.int64), {"display": np.empty(0), "mailer": np.empty(0)})
COLUMNS = LookupColumns(
    "item_id", ("brand",), tuple(ITEM_FEATURES.columns), ITEM_FEATURES, "item_attributes"
)
NUMBERS = np.arange(3.0 * len(COLUMNS.numbers)).reshape(-1, 3)


class Feast:
    """In the place of `Lookup`."""

    def find(self, ids):
        rows = [IDS.index(name) for name in ids]
        texts = b"\0".join(BRANDS[row] for row in rows)
        return Found(np.frombuffer(texts, np.uint8), NUMBERS[:, rows], 0.0)


class Index:
    """Knows two items only, and says so as FAISS does."""

    class description:  # noqa: N801 - an attribute of ItemIndex
        items = 3

    def search(self, queries, k, budget):
        assert (queries.shape, budget) == ((1, 2), "low")
        return np.array([[2, 0, -1]])[:, :k], None


class Bought:
    def seen_rows(self, users, rows):
        assert users == ["ann"]
        return [rows[0] == 2]


def test_places_without_an_item_are_no_candidates():
    found = Retrieval(Index(), Depth(300, 20, 40, "low")).run(
        {"embedding": np.zeros(2, np.float32)}
    )
    assert found["row"].tolist() == [2, 0]


def test_what_is_bought_is_taken_out():
    asked = {"user_id": np.array([b"ann"], dtype=object), "row": np.array([2, 0])}
    assert SeenFilter(Bought()).run(asked)["row"].tolist() == [0]


def test_the_cache_holds_what_feast_would_answer():
    asked = {"row": np.array([2, 0, 1])}
    live = ItemLookup(LiveRows(Feast(), IDS)).run(asked)
    cached = ItemLookup(CachedRows(BRANDS, NUMBERS)).run(asked)

    assert split(live["texts"], 1)[0].tolist() == ["two", "one", ""]
    for name, values in live.items():
        np.testing.assert_array_equal(cached[name], values)


def test_only_the_best_candidates_are_encoded():
    inputs = item_inputs(["brand"])
    everything = {
        "item_id": np.array(IDS, dtype=object),
        "brand": np.array(["one", "", "two"], dtype=object),
        **{name: np.arange(3.0) for name in inputs.numeric},
    }
    encoding = Encoding.fit(everything, inputs.categorical, inputs.numeric)
    rows = np.array([2, 0, 1])
    asked = ItemLookup(LiveRows(Feast(), IDS)).run({"row": rows})

    encoded = ItemTransform(IDS, 2, COLUMNS, encoding, NO_PROMOTIONS).run(
        {"row": rows, "timestamp": np.array([1_506_816_000]), **asked}
    )

    assert encoded["row"].tolist() == [2, 0]
    assert encoded["ids"].tolist() == encoding.encode_ids(everything)[[2, 0]].tolist()
    assert encoded["numbers"].shape == (2, encoding.dense_width)


ASKED = {
    "user_id": np.array([b"ann"], dtype=object),
    "timestamp": np.array([7]),
    "k": np.array([2], dtype=np.int32),
    "row": np.array([5, 6, 7]),
    "score": np.array([0.1, 0.9, 0.5], dtype=np.float32),
}


def test_without_a_temperature_the_best_are_shown():
    shown = SoftmaxSampling(Sampling(0.0, 0)).run(ASKED)
    assert shown["row"].tolist() == [6, 7]
    np.testing.assert_array_equal(shown["score"], np.float32([0.9, 0.5]))


def test_a_sample_is_the_same_for_the_same_request():
    first, second = (SoftmaxSampling(Sampling(5.0, 1)).run(ASKED) for _ in range(2))
    assert first["row"].tolist() == second["row"].tolist()


def test_answers_carry_ids_and_the_release():
    answer = IdDecoder(IDS, 4).run({"row": np.array([1]), "score": np.array([0.5])})
    assert answer["item_id"].tolist() == ["b"]
    assert (answer["release"].tolist(), answer["degraded"].tolist()) == ([4], [False])
