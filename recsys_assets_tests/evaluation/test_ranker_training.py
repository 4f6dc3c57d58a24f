import json
from datetime import timedelta

import pyarrow as pa
import pytest

from recsys_assets.candidates.boosted_ranker import BoostedRanker, Boosting
from recsys_assets.evaluation import ranker_training
from recsys_assets.evaluation.ranker_training import train
from recsys_assets.features.backfill import snapshot_schema
from recsys_assets.features.declarations import ITEM_PROMOTIONS
from recsys_assets.settings.days import days_between
from recsys_assets.storage import MissingPartition, Store
from recsys_assets_tests.evaluation.tiny_weeks import (
    FIRST,
    ITEMS,
    events,
    few_buyers,  # noqa: F401
)

pytestmark = pytest.mark.usefixtures("few_buyers")
DAYS = days_between(FIRST, FIRST + timedelta(days=10 * 7 - 1))
FEW_TREES = Boosting(trees=5, min_leaf_examples=5, negatives=1.0)


def store_of(folder, interactions):
    store = Store(folder.as_uri())
    store.table("items").write(
        pa.table({"item_id": ITEMS, "category_l1": [f"c{n // 5}" for n in range(40)]})
    )
    store.table("item_promotions").write(snapshot_schema(ITEM_PROMOTIONS).empty_table())
    day = pa.compute.strftime(interactions["timestamp"], "%Y-%m-%d").to_pylist()
    for wanted in DAYS:
        rows = [place for place, one in enumerate(day) if one == wanted]
        store.table("interactions").write(interactions.take(rows), wanted)
    return store


@pytest.fixture
def store(tmp_path):
    return store_of(tmp_path, events())


def test_it_learns_from_the_last_weeks_and_says_so(store, tmp_path):
    said = []

    trained = train(store, DAYS, FEW_TREES, said.append)
    trained.save(tmp_path)

    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["trained_through"] == DAYS[-1]
    assert figures["weeks"] == [(FIRST + timedelta(weeks=n)).isoformat() for n in range(2, 10)]
    assert figures["trees"] == 5
    assert figures["boosting"]["seed"] == 1
    assert sum(figures["gains"].values()) <= 1 + 1e-6
    assert BoostedRanker.load(tmp_path).names == trained.ranker.names
    assert len(said) == 8


def test_the_same_history_gives_the_same_trees(store, tmp_path):
    texts = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        train(store, DAYS, FEW_TREES, print).save(tmp_path / name)
        texts.append((tmp_path / name / "boosted_ranker.txt").read_bytes())

    assert texts[0] == texts[1]


def test_of_a_large_shop_so_many_requests_a_week_are_drawn(store, monkeypatch):
    monkeypatch.setattr(ranker_training, "MOST_REQUESTS", 8)

    assert train(store, DAYS, FEW_TREES, print).figures["requests"] == 8 * 8


def test_a_young_shop_has_no_trees_yet(store, tmp_path):
    said = []

    trained = train(store, DAYS[:10], FEW_TREES, said.append)
    trained.save(tmp_path)

    assert trained.ranker is None
    assert trained.figures["trees"] == 0
    assert BoostedRanker.load(tmp_path) is None
    assert "no purchase before" in said[0]
    assert "no trees yet" in said[-1]


def test_a_missing_day_is_named(store):
    with pytest.raises(MissingPartition, match="interactions"):
        train(store, ["2024-12-31", *DAYS], FEW_TREES, print)
