"""Which event days are over: their source has closed them, or, on live data, the clock has.

A recording is replayed faster than it was lived, so whoever delivers its events closes each day;
everything that the day starts follows. Live days close by themselves an hour after their end, by
when their files are to be there; what comes later is late, see `LATE_DAYS` of the contract.
"""

from datetime import date, datetime, timedelta

from recsys_assets.settings.days import days_between
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import children, write_atomically

_FOLDER = "closed_days"
_FILES_DUE = timedelta(hours=1)


def close_day(store: Store, day: str) -> None:
    """Says that all events of `day` (YYYY-MM-DD) have arrived."""
    write_atomically(f"{_url(store)}/{day}", b"")


def closed_days(store: Store) -> list[str]:
    """Days that their source has closed, in order."""
    return [name for name in children(_url(store)) if not name.startswith(".")]


def days_over(first: date, now: datetime) -> list[str]:
    """Live days from `first` on that are over at `now` (UTC), and whose files are due."""
    return days_between(first, (now - _FILES_DUE).date() - timedelta(days=1))


def _url(store: Store) -> str:
    return f"{store.url.rstrip('/')}/{_FOLDER}"
