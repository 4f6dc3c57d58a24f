"""A tiny shop that both models can be trained on, and the run that trains them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from recsys_assets.defs.pipes.pipes import ModelsSubprocess
from recsys_assets.defs.resources import RunDays, StoreResource, VectorIndex
from recsys_assets.features.declarations import ITEM_FEATURES, ITEM_PROMOTIONS, USER_FEATURES
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 21
THROUGH = (FIRST_DAY + timedelta(days=DAYS - 1)).date().isoformat()
# A recording of some days more, so that the models learn from all of these.
RUN_DAYS = RunDays(
    first_day="2025-01-01", last_day="2025-02-28", today="2025-01-22", evaluation_days=7
)
USERS, ITEMS, TEXT = 24, 60, 8
TWO_TOWER = {
    "epochs": 2,
    "examples_per_epoch": 512,
    "batch_size": 64,
    "id_dim": 8,
    "embedding_dim": 8,
    "hidden_dim": 16,
}
DLRM = {
    "epochs": 2,
    "positives_per_epoch": 512,
    "batch_positives": 64,
    "embedding_dim": 8,
    "negatives": 4,
}
TIMESTAMP = pa.timestamp("us", tz="UTC")


def write_store(folder: Path) -> Store:
    """Items, users, interactions, item features, texts and training examples of a tiny shop."""
    store = Store(folder.as_uri())
    random = np.random.default_rng(0)
    items = [f"item-{n}" for n in range(ITEMS)]
    categories = [f"category-{n % 5}" for n in range(ITEMS)]
    store.table("items").write(
        pa.table(
            {
                "item_id": items,
                "text": items,
                "category_l1": ["all"] * ITEMS,
                "category_l2": categories,
                "brand": [None if n % 7 == 0 else f"brand-{n % 3}" for n in range(ITEMS)],
                "price": pa.nulls(ITEMS, pa.float64()),
                "image": pa.nulls(ITEMS, pa.string()),
            }
        )
    )
    store.table("users").write(pa.table({"user_id": ["user-0", "user-1"], "age": ["young", None]}))
    vectors = random.normal(size=(ITEMS, TEXT)).astype(np.float32)
    store.table("item_text_embeddings").write(
        pa.table(
            {
                "item_id": items,
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), TEXT),
            }
        )
    )
    examples = []
    for number in range(DAYS):
        day = FIRST_DAY + timedelta(days=number)
        bought = _purchases(random, day)
        store.table("interactions").write(_events(bought), day.date().isoformat())
        store.table("item_features").write(_item_features(items, day), day.date().isoformat())
        examples += bought
    store.table("item_promotions").write(_promotions(items))
    store.table("training_examples").write(
        _examples(examples, dict(zip(items, categories, strict=True)))
    )
    return store


@dataclass(frozen=True)
class TrainedShop:
    """The tiny shop, the Dagster instance in which both its models were trained, and the run."""

    store: Store
    instance: dg.DagsterInstance
    result: dg.ExecuteInProcessResult

    def metrics(self, artifact: str) -> dict[str, Any]:
        """What the training of an artifact has measured."""
        metrics: dict[str, Any] = json.loads((self.folder(artifact) / "metrics.json").read_text())
        return metrics

    def folder(self, artifact: str) -> Path:
        """The files of an artifact."""
        return self.store.artifact(artifact).fetch()


def train_shop(folder: Path) -> TrainedShop:
    """Materializes both models, embeddings and index, in the models environment as Dagster does."""
    from recsys_assets.defs.graph import ranking, retrieval

    store, instance = write_store(folder), dg.DagsterInstance.ephemeral()
    assets = [
        asset
        for asset in dg.load_assets_from_modules((retrieval, ranking))
        if asset.key != dg.AssetKey("index_tuning")
    ]
    checks = dg.load_asset_checks_from_modules((retrieval, ranking))
    result = dg.materialize(
        [*assets, *checks],
        instance=instance,
        resources={
            "store": StoreResource(url=store.url),
            "models": ModelsSubprocess.from_settings(load_settings()),
            "run_days": RUN_DAYS,
            "vector_index": VectorIndex(kind="hnsw"),
        },
        run_config={"ops": {"two_tower": {"config": TWO_TOWER}, "dlrm": {"config": DLRM}}},
        raise_on_error=False,
    )
    return TrainedShop(store, instance, result)


def _purchases(random: np.random.Generator, day: datetime) -> list[tuple[str, str, datetime]]:
    """Users buy from one category of five, as their number says."""
    rows = []
    for user in range(USERS):
        for item in random.choice(np.arange(user % 5, ITEMS, 5), size=2, replace=False):
            rows.append((f"user-{user}", f"item-{item}", day + timedelta(hours=9, minutes=user)))
    return rows


def _events(rows: list[tuple[str, str, datetime]]) -> pa.Table:
    return pa.table(
        {
            "user_id": [row[0] for row in rows],
            "item_id": [row[1] for row in rows],
            "timestamp": pa.array([row[2] for row in rows], TIMESTAMP),
            "event": ["purchase"] * len(rows),
        }
    )


def _item_features(items: list[str], day: datetime) -> pa.Table:
    known = day + timedelta(days=1)
    values = {"first_sold_at": int(FIRST_DAY.timestamp()), "last_sold_at": int(day.timestamp())}
    columns = {
        name: pa.array(
            [values.get(name, (n * 7) % 11) for n in range(len(items))],
            pa.int64() if dtype == "int64" else pa.float64(),
        )
        for name, dtype in ITEM_FEATURES.columns.items()
    }
    moments = pa.array([known] * len(items), TIMESTAMP)
    return pa.table({"item_id": items, "event_timestamp": moments, **columns})


def _promotions(items: list[str]) -> pa.Table:
    """A week's display of every third item."""
    shown = items[::3]
    moments = [FIRST_DAY] * len(shown) + [FIRST_DAY + timedelta(days=7)] * len(shown)
    values = [0.5] * len(shown) + [0.0] * len(shown)
    columns = dict.fromkeys(ITEM_PROMOTIONS.columns, values)
    moment = pa.array(moments, TIMESTAMP)
    return pa.table({"item_id": shown * 2, "event_timestamp": moment, **columns})


def _examples(rows: list[tuple[str, str, datetime]], category: dict[str, str]) -> pa.Table:
    validation = FIRST_DAY + timedelta(days=DAYS - 7)
    seen: set[tuple[str, str]] = set()
    kept = [r for r in rows if not (r[:2] in seen or seen.add(r[:2]))]
    user = {
        name: pa.array(
            [category[r[1]] if dtype == "string" else 3 for r in kept],
            {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}[dtype],
        )
        for name, dtype in USER_FEATURES.columns.items()
    }
    return pa.table(
        {
            "user_id": [r[0] for r in kept],
            "item_id": [r[1] for r in kept],
            "timestamp": pa.array([r[2] for r in kept], TIMESTAMP),
            "device": ["web"] * len(kept),
            "split": ["validation" if r[2] >= validation else "train" for r in kept],
            "age": pa.nulls(len(kept), pa.string()),
            **user,
        }
    )
