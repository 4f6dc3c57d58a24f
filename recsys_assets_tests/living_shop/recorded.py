"""A recorded shop that is made up: a few sales a day, each item in a span of days of its own."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pyarrow as pa

from recsys_assets.events.contract import INTERACTIONS, ITEMS, PROMOTIONS
from tools.living_shop.plan import Plan
from tools.living_shop.recording import Recording

START = date(2025, 3, 5)  # a Wednesday, so the shop is closed on Tuesdays
PLAN = Plan(START, days=4, history=10)


def day(number: int) -> date:
    """The day so many days after the first lived one."""
    return START + timedelta(days=number)


def sale(at: date, item: str = "tea", user: str = "anna", price: float = 2.0, hour: int = 12):
    return {
        "user_id": user,
        "item_id": item,
        "timestamp": datetime(at.year, at.month, at.day, hour, tzinfo=UTC),
        "event": "purchase",
        "session_id": f"{user}/{at}/{hour}",
        "quantity": 1,
        "price": price,
        "device": "web",
    }


def recording(*sales) -> Recording:
    events = _rows(INTERACTIONS.schema, sales)
    names = sorted({one["item_id"] for one in sales})
    items = [{"item_id": name, "text": name, "category_l2": "food"} for name in names]
    users = pl.DataFrame({"user_id": sorted({one["user_id"] for one in sales})})
    return Recording(
        events.sort("timestamp"),
        _rows(ITEMS.schema, items),
        users.with_columns(age=pl.lit("young")),
        pl.DataFrame(PROMOTIONS.schema.empty_table()),
    )


def _rows(schema, rows) -> pl.DataFrame:
    filled = [{name: row.get(name) for name in schema.names} for row in rows]
    return pl.DataFrame(pa.Table.from_pylist(filled, schema=schema))
