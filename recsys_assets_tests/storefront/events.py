"""Events as a storefront posts them."""

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "user_id": "ann",
    "item_id": "tea",
    "timestamp": "2026-11-23T11:59:00Z",
    "event": "purchase",
    "session_id": "s1",
    "quantity": 2,
    "price": 3.5,
    "discount": 0.5,
    "device": "web",
}


def happened(ago: timedelta = timedelta(minutes=1), **fields: Any) -> dict[str, Any]:
    """An event of a while ago by the real clock."""
    return {**GOOD, "timestamp": (datetime.now(UTC) - ago).isoformat(), **fields}
