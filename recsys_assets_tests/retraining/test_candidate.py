"""What a candidate is made of; its models at work are tested by the pipeline's fine-tune."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.ranking.scoring import RETRIEVAL
from recsys_assets.retraining import candidate
from recsys_assets.retraining.candidate import serving_parts
from recsys_assets.retrieval.item_tower import read_embeddings
from recsys_assets.storage import Store

DAY = "2025-03-05"
TRAINED = {"two_tower": f"finetuned_query_tower/{DAY}", "dlrm": f"finetuned_dlrm/{DAY}"}
ITEMS = np.array([f"item-{n}" for n in range(40)], dtype=object)
VECTORS = np.random.default_rng(0).normal(size=(len(ITEMS), 4)).astype(np.float32)


@dataclass
class Known:
    """The catalogue at the end of a day, with embeddings that no model has to make."""

    day: str = DAY
    history: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(item_ids=ITEMS))

    def embeddings(self, two_tower):
        assert (two_tower / "query_tower.onnx").exists()
        return VECTORS


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path.as_uri())
    for day, user in {DAY: "ann", "2025-03-06": "not known yet"}.items():
        event = {"user_id": user, "item_id": "item-1", "timestamp": None, "event": "purchase"}
        store.table("interactions").write(pa.Table.from_pylist([event]), day)
    with store.artifact(TRAINED["two_tower"]).new_version() as draft:
        (draft.path / "query_tower.onnx").write_text("trained")
        (draft.path / "tastes.npz").write_text("as of the training")
        np.save(draft.path / "sample_queries.npy", VECTORS[:8])
    with store.artifact(TRAINED["dlrm"]).new_version() as draft:
        (draft.path / RETRIEVAL).mkdir()
        (draft.path / "ranker.onnx").write_text("trained")
    return store


@pytest.fixture
def renewed(monkeypatch):
    """Counts purchases in name only; notes which folders were given, and what was in them."""
    renewed = []

    def renew(folder, events, _history):
        assert events["user_id"].to_pylist() == ["ann"]
        renewed.append((folder.name == RETRIEVAL, (folder / "_COMPLETE").exists()))
        (folder / "tastes.npz").write_text(f"as of {DAY}")

    monkeypatch.setattr(candidate, "renew", renew)
    return renewed


def trained(store):
    return {part: store.artifact(name).fetch() for part, name in TRAINED.items()}


def test_the_trained_models_are_served_with_what_is_known_by_now(store, renewed):
    parts, _ = serving_parts(store, trained(store), Known(), "flat")

    assert parts.artifacts == {part: f"candidate_{part}/{DAY}" for part in parts.folders}
    assert (parts.folders["two_tower"] / "query_tower.onnx").read_text() == "trained"
    assert (parts.folders["dlrm"] / "ranker.onnx").read_text() == "trained"
    for folder in (parts.folders["two_tower"], parts.folders["dlrm"] / RETRIEVAL):
        assert (folder / "tastes.npz").read_text() == f"as of {DAY}"


def test_what_was_trained_stays_as_it_was(store, renewed):
    serving_parts(store, trained(store), Known(), "flat")

    folder = store.artifact(TRAINED["two_tower"]).fetch()
    assert (folder / "tastes.npz").read_text() == "as of the training"


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_index_and_embeddings_hold_the_whole_catalogue_in_its_order(store, renewed, kind):
    parts, recall = serving_parts(store, trained(store), Known(), kind)
    embeddings, ids = read_embeddings(parts.folders["item_embeddings"])

    assert parts.item_ids() == ids == ITEMS.tolist()
    assert np.array_equal(embeddings, VECTORS)
    assert recall == 1


def test_a_version_is_not_called_complete_before_it_is(store, renewed):
    serving_parts(store, trained(store), Known(), "flat")

    # Of the tower, of the ranker, and of the tower within the ranker.
    assert renewed == [(False, False), (False, False), (True, False)]
