"""A tiny store that both models can be trained on, and a way to train them there."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys_assets.features.declarations import ITEM_FEATURES, ITEM_PROMOTIONS, USER_FEATURES
from recsys_assets.settings import REPOSITORY, load_settings
from recsys_assets.storage import Store

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 21
THROUGH = (FIRST_DAY + timedelta(days=DAYS - 1)).date().isoformat()
USERS, ITEMS, TEXT = 24, 60, 8
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


def train(store: Store, module: str, folder: Path, parameters: dict[str, float]) -> dict:
    """Trains in the models environment into `folder`; returns the metrics."""
    script = Path(__file__).with_name("train_without_dagster.py")
    subprocess.run(
        [
            str(load_settings().models_python),
            "-W",
            "ignore",
            str(script),
            module,
            store.url,
            THROUGH,
            str(folder),
            json.dumps(parameters),
        ],
        check=True,
        cwd=REPOSITORY,
    )
    return json.loads((folder / "metrics.json").read_text())


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
