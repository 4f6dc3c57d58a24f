"""Forty days of a handful of users and items, with every irregularity that features must bear."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from recsys_assets.events.contract import INTERACTIONS, ITEMS, PROMOTIONS
from recsys_assets.events.ingest import record_catalogue
from recsys_assets.storage import Store

FIRST_DAY = date(2017, 1, 1)  # the first partition of the default source
DAYS = 40
CORRECTED_DAY = FIRST_DAY + timedelta(days=7)
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)
USERS = [f"user-{n}" for n in range(9)] + ["用户 ü"]
ITEM_IDS = [f"item-{n}" for n in range(14)]


def midnight(day: date) -> datetime:
    """00:00 UTC of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def make_events(seed: int = 3) -> list[dict[str, Any]]:
    """Events by time: bursts, gaps longer than the longest window, unknown values, midnights."""
    draw = random.Random(seed)
    events = []
    for day_number in range(DAYS):
        start = midnight(FIRST_DAY + timedelta(days=day_number))
        for number, user in enumerate(USERS):
            away = number < 3 and 5 <= day_number < 36
            if away or draw.random() > 0.35:
                continue
            for _ in range(draw.choice((1, 1, 2, 5))):
                events.append(_event(draw, user, start))
    return sorted(events, key=lambda event: (event["timestamp"], event["user_id"]))


def _event(draw: random.Random, user: str, start: datetime) -> dict[str, Any]:
    seconds = draw.choice((0, 86_399, draw.randrange(86_400)))
    price = draw.choice((None, 0.0, 1.99, 2.49, 3.333, 10.0))
    discount = draw.choice((None, 0.0, 0.5, 1.0)) if price is not None else None
    return {
        "user_id": user,
        "item_id": draw.choice(ITEM_IDS),
        "timestamp": start + timedelta(seconds=seconds, microseconds=draw.choice((0, 999_999))),
        "event": draw.choice(("purchase", "purchase", "purchase", "view")),
        "session_id": draw.choice((None, f"{user}/{start.date()}", f"{user}/late")),
        "quantity": draw.choice((None, 1, 1, 3)),
        "price": price,
        "discount": min(discount, price) if discount is not None and price is not None else None,
        "device": "web",
        "store_id": draw.choice((None, "north", "south", "west")),
    }


def make_items() -> list[dict[str, Any]]:
    """The catalogue: one item without a category, one that is never sold."""
    categories = ("tea", "coffee", "bread", None)
    rows = [
        {"item_id": item, "text": item, "category_l2": categories[n % 4], "brand": f"b{n % 2}"}
        for n, item in enumerate(ITEM_IDS)
    ]
    return [*rows, {"item_id": "never-sold", "text": "", "category_l2": "tea", "brand": None}]


def make_promotions() -> list[dict[str, Any]]:
    """Promotions before, across and within history, overlapping and repeating."""
    start = midnight(FIRST_DAY)

    def promotion(
        item: str, first: float, last: float, display: float | None, mailer: float
    ) -> dict[str, Any]:
        return {
            "item_id": item,
            "valid_from": start + timedelta(days=first),
            "valid_to": start + timedelta(days=last),
            "display": display,
            "mailer": mailer,
        }

    return [
        promotion("item-0", -5, 3.2, 0.5, 0.1),
        promotion("item-0", 2.0, 9.0, 0.7, 0.0),
        promotion("item-1", 10.2, 17.2, 0.2, 0.2),
        promotion("item-1", 17.2, 24.2, 0.2, 0.2),
        promotion("never-sold", 6, 7, None, 1.0),
        promotion("item-2", 30, 400, 0.1, 0.0),
        promotion("item-3", -30, -20, 0.1, 0.0),
    ]


def make_users() -> list[dict[str, Any]]:
    """Attributes of some users only, and of one who never comes."""
    return [
        {"user_id": "user-0", "age": "18-25", "income": None},
        {"user_id": "user-1", "age": None, "income": "high"},
        {"user_id": "nobody", "age": "65+", "income": "low"},
    ]


def corrected(events: list[dict[str, Any]], day: date) -> list[dict[str, Any]]:
    """The events after a day was put right: two sales came late, and one has never been.

    They were the first sales of an item that was not sold before, of one that was sold later, and
    of one that was sold again later. One of them is the only event of a user.
    """
    first = {event["item_id"]: event for event in reversed(events) if event["event"] == "purchase"}
    wrong = next(e for e in first.values() if e["timestamp"].date() == day)
    later = next(e for e in first.values() if e["timestamp"].date() > day)
    noon = midnight(day) + timedelta(hours=12)
    late = [
        {**wrong, "item_id": "never-sold", "user_id": USERS[0], "timestamp": noon},
        {**wrong, "item_id": later["item_id"], "user_id": "late-user", "timestamp": noon},
    ]
    kept = [event for event in events if event is not wrong]
    return sorted([*kept, *late], key=lambda event: (event["timestamp"], event["user_id"]))


def write_events(store: Store, events: list[dict[str, Any]], first_day: date = FIRST_DAY) -> None:
    """Writes the days of `interactions` from one on."""
    for number in range((first_day - FIRST_DAY).days, DAYS):
        day = FIRST_DAY + timedelta(days=number)
        rows = [event for event in events if event["timestamp"].date() == day]
        table = pa.Table.from_pylist(rows, schema=INTERACTIONS.schema)
        store.table("interactions").write(table, day.isoformat())


def write_history(store: Store) -> None:
    """Writes the input tables as the events stage does."""
    write_events(store, make_events())
    catalogue = pa.Table.from_pylist(make_items(), schema=ITEMS.schema)
    record_catalogue(store, catalogue, FIRST_DAY)
    store.table("items").write(catalogue)
    promotions = pa.Table.from_pylist(make_promotions(), schema=PROMOTIONS.schema)
    store.table("promotions").write(promotions)
    users = pa.schema([(name, pa.string()) for name in ("user_id", "age", "income")])
    store.table("users").write(pa.Table.from_pylist(make_users(), schema=users))
