"""A grocer small enough to reason about: who bought what, where, when and at what price."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from recsys_assets.candidates.purchase_log import PurchaseLog
from recsys_assets.candidates.snapshot import PurchaseSnapshot
from recsys_assets.candidates.sources import Sources
from recsys_assets.models.examples import DAY_SECONDS

START = datetime(2025, 1, 1, tzinfo=UTC)
DAY_0 = int(START.timestamp()) // DAY_SECONDS
ATTRIBUTES = ("category_l1", "category_l3", "brand", "maker")
# item: category_l1, category_l3, brand, maker
CATALOGUE = {
    "apple": ("fruit", "apples", "own", "m1"),
    "pear": ("fruit", "pears", "own", "m1"),
    "milk": ("dairy", "milk", "own", "m2"),
    "oat milk": ("dairy", "milk", "fancy", "m3"),
    "soy milk": ("dairy", "milk", "fancy", "m3"),
    "never sold": ("dairy", None, None, None),
}
ITEMS = list(CATALOGUE)


def items() -> pa.Table:
    columns = list(zip(*CATALOGUE.values(), strict=True))
    return pa.table(
        {"item_id": ITEMS}
        | {
            name: pa.array(values, pa.string())
            for name, values in zip(ATTRIBUTES, columns, strict=True)
        }
    )


def lines(*rows: tuple) -> pa.Table:
    """Rows of user, item, day, and where given store, price, discount, event."""
    full = [(*row, *(None, None, None, "purchase")[len(row) - 3 :]) for row in rows]
    user, item, day, store, price, discount, event = zip(*full, strict=True) if full else ([],) * 7
    moments = [START + timedelta(days=number, hours=12) for number in day]
    return pa.table(
        {
            "user_id": pa.array(user, pa.string()),
            "item_id": pa.array(item, pa.string()),
            "timestamp": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "event": pa.array(event, pa.string()),
            "price": pa.array(price, pa.float64()),
            "discount": pa.array(discount, pa.float64()),
            "store_id": pa.array(store, pa.string()),
        }
    )


def purchase_log(*rows: tuple) -> PurchaseLog:
    return PurchaseLog.from_tables(lines(*rows), items(), ATTRIBUTES)


def snapshot(day: int, *rows: tuple) -> PurchaseSnapshot:
    """What is known when day `day` begins."""
    return PurchaseSnapshot(purchase_log(*rows), DAY_0 + day)


def sources(day: int, *rows: tuple, promoted: tuple[str, ...] = ()) -> Sources:
    return Sources(snapshot(day, *rows), np.isin(ITEMS, promoted).astype(np.float32))


def row(item: str) -> int:
    return ITEMS.index(item)
