"""Purchases as they happen, known to the very next answer. Runs in both environments.

The day's own run adds them again from its partition: the items are there, and a filter that was
made here is no longer one of an id that may be invented.
"""

from collections.abc import Iterable

import redis

from recsys_assets.serving.seen_items import SeenItems
from recsys_assets.serving.seen_settings import DEFAULT_FILTERS, FilterSettings


def record_events(
    client: redis.Redis,
    events: Iterable[tuple[str, str]],
    settings: FilterSettings = DEFAULT_FILTERS,
) -> int:
    """Adds purchases to the users' filters, in one round trip for up to 200 users.

    Args:
        client: for writing.
        events: (user id, item id); those without a user are passed over. At-least-once delivery
            is fine: the same event again changes nothing.
        settings: of the filters of users who had none.

    Returns:
        How many different purchases were recorded.

    Raises:
        redis.RedisError: the store cannot be written; record the same events again.
    """
    bought: dict[str, dict[str, None]] = {}
    for user, item in events:
        if user:
            bought.setdefault(user, {})[item] = None
    filters = SeenItems(client, settings=settings)
    filters.add_unconfirmed({user: list(items) for user, items in bought.items()})
    return sum(map(len, bought.values()))
