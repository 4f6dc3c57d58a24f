"""A small shop with tastes that can be learned, in the layout of the Parquet source.

Every customer likes a few categories. Purchases follow the customer's taste and the item's
popularity, so a personalised model can beat popularity, as it must to pass the gate.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
CATEGORIES = ("tea", "coffee", "bread", "cheese", "fruit", "soap", "paper", "toys")
TIMESTAMP = pa.timestamp("us", tz="UTC")


def write_shop(
    folder: Path,
    *,
    users: int = 240,
    items: int = 400,
    days: int = 63,
    shift_day: int | None = None,
    seed: int = 7,
) -> None:
    """Writes `interactions/day=*/data.parquet`, `items.parquet` and `users.parquet`.

    With `shift_day`, a quarter of the items is sold from the day of that number on only. They are
    half of what is sold then, and all prices are half as high again; everybody still
    likes the same categories.
    """
    rng = np.random.default_rng(seed)
    category = rng.integers(len(CATEGORIES), size=items)
    popularity = rng.zipf(1.6, size=items).clip(max=30).astype(float)
    price = np.round(rng.uniform(1, 20, size=items), 2)
    favourites = [rng.choice(len(CATEGORIES), size=2, replace=False) for _ in range(users)]
    sold = popularity if shift_day is None else popularity * (np.arange(items) < items * 3 // 4)
    taste = np.stack([_taste(category, sold, liked) for liked in favourites])

    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(_items(category, price), folder / "items.parquet")
    pq.write_table(_users(favourites), folder / "users.parquet")
    for number in range(days):
        if number == shift_day:
            launched = popularity - sold
            sold = sold + launched * sold.sum() / launched.sum()
            taste = np.stack([_taste(category, sold, liked) for liked in favourites])
            price = np.round(1.5 * price, 2)
        day = FIRST_DAY + timedelta(days=number)
        rows = _purchases(rng, day, taste, price)
        target = folder / f"interactions/day={day:%Y-%m-%d}"
        target.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=_EVENTS), target / "data.parquet")


def _taste(category: np.ndarray, popularity: np.ndarray, liked: np.ndarray) -> np.ndarray:
    weight = np.where(np.isin(category, liked), 30.0, 1.0) * popularity
    return weight / weight.sum()


def _items(category: np.ndarray, price: np.ndarray) -> pa.Table:
    return pa.table(
        {
            "item_id": [f"item-{n}" for n in range(len(category))],
            "text": [f"{CATEGORIES[c]} number {n}" for n, c in enumerate(category)],
            "category_l1": ["food" if c < 5 else "home" for c in category],
            "category_l2": [CATEGORIES[c] for c in category],
            "category_l3": [f"{CATEGORIES[c]} {n % 3}" for n, c in enumerate(category)],
            "brand": [f"brand-{n % 5}" for n in range(len(category))],
            "price": price,
            "image": pa.array([None] * len(category), pa.string()),
        }
    )


def _users(favourites: list[np.ndarray]) -> pa.Table:
    return pa.table(
        {
            "user_id": [f"user-{n}" for n in range(len(favourites))],
            "age": ["young" if n % 3 else None for n in range(len(favourites))],
        }
    )


def _purchases(
    rng: np.random.Generator, day: datetime, taste: np.ndarray, price: np.ndarray
) -> list[dict[str, object]]:
    rows = []
    for user in rng.choice(len(taste), size=len(taste) // 3, replace=False):
        basket = day + timedelta(seconds=int(rng.integers(8 * 3600, 20 * 3600)))
        for item in rng.choice(
            taste.shape[1], size=rng.integers(1, 7), replace=False, p=taste[user]
        ):
            rows.append(
                {
                    "user_id": f"user-{user}",
                    "item_id": f"item-{item}",
                    "timestamp": basket,
                    "event": "purchase",
                    "session_id": f"{day:%m%d}-{user}",
                    "quantity": 1,
                    "price": float(price[item]),
                    "discount": float(np.round(price[item] * 0.1 * (item % 2), 2)),
                    "device": "web" if user % 2 else "mobile",
                    "store_id": None,
                }
            )
    return sorted(rows, key=lambda row: row["timestamp"])


_EVENTS = pa.schema(
    {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "timestamp": TIMESTAMP,
        "event": pa.string(),
        "session_id": pa.string(),
        "quantity": pa.int64(),
        "price": pa.float64(),
        "discount": pa.float64(),
        "device": pa.string(),
        "store_id": pa.string(),
    }
)
