"""Which event days are over: a day is closed once its source says that all of it has arrived.

Time alone cannot tell: a source may be late, and recorded days are replayed faster than they
were lived. Whoever delivers events closes the day; everything that the day starts follows.
"""

from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import children, write_atomically

_FOLDER = "closed_days"


def close_day(store: Store, day: str) -> None:
    """Says that all events of `day` (YYYY-MM-DD) have arrived."""
    write_atomically(f"{_url(store)}/{day}", b"")


def closed_days(store: Store) -> list[str]:
    """Closed days, in order."""
    return [name for name in children(_url(store)) if not name.startswith(".")]


def _url(store: Store) -> str:
    return f"{store.url.rstrip('/')}/{_FOLDER}"
