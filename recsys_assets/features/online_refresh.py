"""The online store at the end of a day, through Feast, and proof that it holds what it should."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from recsys_assets.features.parity import Parity
from recsys_assets.settings import Settings
from recsys_assets.storage import Store

# Enough to notice a view that went wrong; `online_features` compares ten times as many.
_COMPARED_ENTITIES = 100


@dataclass(frozen=True)
class Refresh:
    """The moment as of which the store is complete, and how it was brought there."""

    as_of: datetime
    complete: bool
    parity: Parity
    seconds: float


def unsent_days(store: Store, online_store_url: str, days: Sequence[str]) -> list[str]:
    """The days of a run, and all before them that the online store does not hold.

    A day whose run failed, or a store that was emptied, would otherwise leave filters of seen
    items without those purchases for ever.

    Args:
        store: holds `interactions`.
        online_store_url: the store that the days are sent to.
        days: of the run, ascending, YYYY-MM-DD.
    """
    from recsys_assets.features.online import complete_through, connect

    with connect(online_store_url) as client:
        through = complete_through(client)
    first = "" if through is None else through.date().isoformat()
    recorded = store.table("interactions").days()
    return sorted({*days, *(day for day in recorded if first <= day <= days[-1])})


def known_through(online_store_url: str, history_through: str) -> str:
    """The last day whose purchases filters of seen items hold, YYYY-MM-DD.

    That of history, or a later one that the store has reached: what was bought since must not be
    recommended again because the filters are made anew.
    """
    from recsys_assets.features.online import last_complete_day

    return max(history_through, last_complete_day(online_store_url) or "")


def refresh(settings: Settings, store: Store, day: date) -> Refresh:
    """Brings the online store to the end of `day`, or corrects it where it is further already.

    Compared are the values as of the moment that the store has reached, whichever day was sent.

    Raises:
        OnlineStoreUnreachable: the store does not answer.
    """
    from recsys_assets.features.attributes import user_columns
    from recsys_assets.features.feature_store import open_feature_store
    from recsys_assets.features.online import OfflineContents, connect, materialize
    from recsys_assets.features.parity import sampled_parity
    from recsys_assets.features.reader import OnlineUserFeatures

    started = time.monotonic()
    contents = OfflineContents.of(store)
    features = open_feature_store(settings)
    today = day + timedelta(days=1)
    sent = materialize(features, settings.online_store_url, settings.first_day, today, contents)
    with connect(settings.online_store_url) as client:
        reader = OnlineUserFeatures(client, user_columns(store))
        parity = sampled_parity(features, reader, store, sent.end, _COMPARED_ENTITIES)
    return Refresh(sent.end, sent.complete, parity, time.monotonic() - started)
