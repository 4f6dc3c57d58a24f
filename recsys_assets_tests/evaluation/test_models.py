"""The parts are put together over one catalogue, whatever order each holds it in."""

import json
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.content.encoder import embeddings_to_arrow
from recsys_assets.evaluation import models
from recsys_assets.evaluation.split import load_split
from recsys_assets.features.backfill import snapshot_schema
from recsys_assets.features.declarations import ITEM_FEATURES, ITEM_PROMOTIONS
from recsys_assets.models import ranker, towers, training_data
from recsys_assets.models.index import index
from recsys_assets.settings import Days
from recsys_assets.slates import slate_faults
from recsys_assets.storage import MissingArtifact, Store
from recsys_assets_tests.evaluation.tiny import TODAY, events, moment, write_days

ITEMS = [f"item-{n}" for n in range(12)]
FIRST = TODAY - timedelta(days=2)
RECORDED = Days(FIRST, TODAY + timedelta(days=1), TODAY, evaluation_days=2)
LIVE = Days(FIRST, None, TODAY + timedelta(days=2), evaluation_days=2)
VECTORS = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)  # by catalogue row
ARROW = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}


class TowerOfOnes:
    def __init__(self, folder):
        assert (folder / "here").exists()

    def embed(self, columns, timestamps):
        assert {"user_id", "device", "age", "events_7d"} <= set(columns)
        return np.ones((len(timestamps), 4), dtype=np.float32)


class PricierFirst:
    def __init__(self, folder, item_columns, text_embeddings, promotions):
        # Row by row: the vector of an item's text is its number in the catalogue.
        numbers = [float(item_id.removeprefix("item-")) for item_id in item_columns["item_id"]]
        np.testing.assert_array_equal(text_embeddings[:, 0], numbers)
        np.testing.assert_array_equal(item_columns["price"], numbers)
        self.prices = item_columns["price"]

    def score(self, user_columns, timestamp, rows):
        return self.prices[rows].astype(np.float32)


def publish(store, name, write):
    with store.artifact(name).new_version() as draft:
        write(draft.path)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(towers, "QueryTower", TowerOfOnes)
    monkeypatch.setattr(ranker, "Ranker", PricierFirst)
    store = Store(tmp_path.as_uri())
    rows = [(user, "item-0", moment(-1)) for user in ("ann", "bob")]
    rows += [("ann", "item-3", moment(0)), ("bob", "item-5", moment(1))]
    write_days(store, events(*rows), -2, 1)
    ids = pa.array(ITEMS, pa.string())
    store.table("items").write(pa.table({"item_id": ids, "category_l1": ids, "text": ids}))
    stamp = pa.array([moment(-1, 0)], pa.timestamp("us", tz="UTC"))
    store.table("user_attributes").write(
        pa.table({"user_id": ["ann"], "event_timestamp": stamp, "age": ["old"]})
    )
    for day in (-2, -1):
        name = f"{moment(day):%Y-%m-%d}"
        user = pa.table({"user_id": ["ann"], "event_timestamp": stamp, "events_7d": [day]})
        store.table("user_features").write(user, name)
        columns = {
            column: pa.array(range(12) if column == "price" else [None] * 12, ARROW[dtype])
            for column, dtype in ITEM_FEATURES.columns.items()
        }
        stamps = pa.array([moment(day + 1, 0)] * 12, pa.timestamp("us", tz="UTC"))
        store.table("item_features").write(
            pa.table({"item_id": ids, "event_timestamp": stamps, **columns}), name
        )
    store.table("item_promotions").write(snapshot_schema(ITEM_PROMOTIONS).empty_table())
    shuffled = np.random.default_rng(5).permutation(12)
    texts = np.repeat(shuffled[:, None], 2, axis=1).astype(np.float32)
    store.table("item_text_embeddings").write(
        pa.table({"item_id": ids.take(pa.array(shuffled)), "embedding": embeddings_to_arrow(texts)})
    )
    publish(store, "two_tower", lambda path: (path / "here").touch())
    publish(store, "dlrm", lambda path: (path / "here").touch())
    publish(store, "boosted_ranker", lambda path: (path / "here").touch())
    publish(store, "item_embeddings", lambda path: write_embeddings(path, shuffled))
    publish(store, "item_index", lambda path: write_flat_index(path, shuffled[::-1]))
    return store


def write_embeddings(path, order):
    np.save(path / "embeddings.npy", VECTORS[order])
    (path / "item_ids.json").write_text(json.dumps([ITEMS[row] for row in order]))


def write_flat_index(path, order):
    built = index.build(np.ascontiguousarray(VECTORS[order]), "flat")
    described = index.IndexDescription("flat", 12, 4, 1.0)
    index.write_index(path, built, [ITEMS[row] for row in order], described)


def test_each_part_is_read_in_its_own_order(store):
    split = load_split(store, RECORDED)

    found = models.model_slates(store, split, RECORDED, "flat", print)

    nearest = [row for row in np.argsort(-VECTORS.sum(axis=1)) if row != 0]
    for request in range(2):
        assert found.slates["two_tower"][request, :11].tolist() == nearest
        assert found.slates["two_stage"][request, :11].tolist() == list(range(11, 0, -1))
    for slates in found.slates.values():
        assert not any(slate_faults(slates, split.requests.seen).values())
    assert found.versions["dlrm"] == store.artifact("dlrm").current()
    assert found.candidates_left == {"smallest": 11, "median": 11.0}


def test_items_of_held_out_days_are_embedded_as_before_those_days(store, monkeypatch):
    """The stored embeddings know the evaluated days, here: they are others."""
    asked = []

    class TowerOfTheDay:
        def __init__(self, folder):
            assert (folder / "here").exists()

        def embed(self, columns, text, moment):
            asked.append(moment)
            np.testing.assert_array_equal(text[:, 0], np.arange(12))
            return -VECTORS

    monkeypatch.setattr(training_data, "ItemTower", TowerOfTheDay)
    split = load_split(store, LIVE)

    found = models.model_slates(store, split, LIVE, "flat", print)

    farthest = [row for row in np.argsort(VECTORS.sum(axis=1)) if row != 0]
    for request in range(2):
        assert found.slates["two_tower"][request, :11].tolist() == farthest
        assert found.slates["two_stage"][request, :11].tolist() == list(range(11, 0, -1))
    assert asked == [int(moment(0, 0).timestamp())]


def test_a_part_that_was_never_made_is_named(store, tmp_path):
    split = load_split(store, RECORDED)
    (tmp_path / "artifacts/dlrm/CURRENT").unlink()

    with pytest.raises(MissingArtifact, match="'dlrm'"):
        models.model_slates(store, split, RECORDED, "flat", print)
