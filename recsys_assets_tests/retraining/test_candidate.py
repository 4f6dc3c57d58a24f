"""What a release of given weights is made of; the weights at work are tested on real services."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from recsys_assets.models.towers import read_embeddings
from recsys_assets.releases.rendering import ReleaseParts
from recsys_assets.retraining.candidate import serving_parts
from recsys_assets.storage import Store

DAY = "2025-03-05"
TRAINED = {"two_tower": f"finetuned_query_tower/{DAY}", "dlrm": f"finetuned_dlrm/{DAY}"}
NAMES = {"item_embeddings": "refreshed_item_embeddings", "item_index": "refreshed_item_index"}
ITEMS = np.array([f"item-{n}" for n in range(40)], dtype=object)
VECTORS = np.random.default_rng(0).normal(size=(len(ITEMS), 4)).astype(np.float32)


@dataclass
class Snapshot:
    """The catalogue at the end of a day, with embeddings that no model has to make."""

    day: str = DAY
    history: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(item_ids=ITEMS))
    text: np.ndarray = field(default_factory=lambda: VECTORS)

    def embeddings(self, two_tower):
        assert (two_tower / "query_tower.onnx").read_text() == "trained"
        return VECTORS


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path.as_uri())
    train(store, "trained")
    return store


def train(store, words):
    for name in TRAINED.values():
        with store.artifact(name).new_version() as draft:
            (draft.path / "query_tower.onnx").write_text(words)
            np.save(draft.path / "sample_queries.npy", VECTORS[:8])


def test_the_weights_that_were_judged_are_a_part_as_they_are(store):
    judged = ReleaseParts.current(store, TRAINED)
    train(store, "trained anew meanwhile")
    parts, _ = serving_parts(store, judged, Snapshot(), "flat", NAMES)

    assert parts.catalogue.history.item_ids is ITEMS  # not read again when it is rendered
    assert parts.artifacts == TRAINED | NAMES
    for part in TRAINED:
        assert parts.versions[part] == judged.versions[part]
        assert (parts.folders[part] / "query_tower.onnx").read_text() == "trained"


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_index_and_embeddings_hold_the_whole_catalogue_in_its_order(store, kind):
    parts, recall = serving_parts(
        store, ReleaseParts.current(store, TRAINED), Snapshot(), kind, NAMES
    )
    embeddings, ids = read_embeddings(parts.folders["item_embeddings"])

    assert parts.item_ids() == ids == ITEMS.tolist()
    assert np.array_equal(embeddings, VECTORS)
    assert recall == 1
