"""The features again, written independently: from raw events, one entity and one day at a time.

Nothing is shared with the declarations but the definition of each feature in words.
"""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from recsys_assets_tests.features.tiny_history import midnight

Event = dict[str, Any]


def user_values(
    events: list[Event], category: dict[str, str | None], user: str, day: date
) -> dict[str, Any] | None:
    """What `user_features` must say of a user as of the end of a day; None before any event."""
    past = [e for e in events if e["user_id"] == user and e["timestamp"].date() <= day]
    if not past:
        return None
    values: dict[str, Any] = {
        "last_event_at": max(math.floor(e["timestamp"].timestamp()) for e in past)
    }
    for days in (1, 7, 28):
        window = [e for e in past if e["timestamp"].date() > day - timedelta(days=days)]
        bought = [e for e in window if e["event"] == "purchase"]
        values[f"events_{days}d"] = len(window)
        values[f"purchases_{days}d"] = len(bought)
        values[f"spend_{days}d"] = sum(map(_spend, bought)) / 10_000
        values[f"distinct_items_{days}d"] = len({e["item_id"] for e in window})
        values[f"top_category_{days}d"] = _most_frequent(category[e["item_id"]] for e in bought)
    in_sessions = [e for e in bought if e["session_id"] is not None]
    baskets = len({e["session_id"] for e in in_sessions})
    spent = sum(map(_spend, in_sessions)) / 10_000
    discounted = sum((e["discount"] or 0) > 0 for e in bought)
    values["baskets_28d"] = baskets
    values["basket_value_28d"] = spent / baskets if baskets else None
    values["discount_share_28d"] = discounted / len(bought) if bought else None
    values["top_store_28d"] = _most_frequent(e["store_id"] for e in bought)
    return values


def item_values(events: list[Event], item: str, day: date) -> dict[str, Any]:
    """What `item_features` must say of an item as of the end of a day."""
    moment = midnight(day + timedelta(days=1))
    sold = [
        e
        for e in events
        if e["item_id"] == item and e["event"] == "purchase" and e["timestamp"] < moment
    ]
    values: dict[str, Any] = {}
    for days in (1, 7, 28):
        window = [e for e in sold if e["timestamp"].date() > day - timedelta(days=days)]
        values[f"popularity_{days}d"] = len(window)
    seconds = [math.floor(e["timestamp"].timestamp()) for e in window]
    values["last_sold_at"] = max(seconds, default=None)
    values["first_sold_at"] = min(
        (math.floor(e["timestamp"].timestamp()) for e in sold), default=None
    )
    return values | _last_price([e for e in window if e["price"] is not None])


def promotion_values(
    promotions: list[dict[str, Any]], item: str, moment: datetime
) -> dict[str, Any]:
    """What `item_promotions` must say of an item at a moment."""
    valid = [
        p for p in promotions if p["item_id"] == item and p["valid_from"] <= moment < p["valid_to"]
    ]
    return {
        name: max((p[name] or 0.0 for p in valid), default=0.0) for name in ("display", "mailer")
    }


def _last_price(priced: list[Event]) -> dict[str, float | None]:
    if not priced:
        return {"price": None, "discount": None}
    last = max(e["timestamp"].date() for e in priced)
    of_day = [e for e in priced if e["timestamp"].date() == last]
    prices = sum(_units(e["price"]) for e in of_day)
    discounts = sum(_units(e["discount"] or 0.0) for e in of_day)
    return {
        "price": prices / len(of_day) / 10_000,
        "discount": discounts / prices if prices else None,
    }


def _spend(event: Event) -> int:
    if event["price"] is None:
        return 0
    return _units((event["quantity"] or 1) * (event["price"] - (event["discount"] or 0.0)))


def _units(amount: float) -> int:
    return math.floor(amount * 10_000 + 0.5)


def _most_frequent(values: Iterable[str | None]) -> str | None:
    counts = Counter(value for value in values if value is not None)
    return min(counts, key=lambda value: (-counts[value], value), default=None)
