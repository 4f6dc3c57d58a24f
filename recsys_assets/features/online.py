"""Brings the online store to the values as of a moment, through Feast.

A marker in the online store says through which moment it is complete. While it stands, a new day
costs a day: only snapshots written since are sent. An emptied or replaced store has no marker, so
the next materialization sends the last value of every entity, and heals it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import redis

from recsys_assets.features.attributes import ATTRIBUTE_TABLES
from recsys_assets.features.declarations import DAILY_FEATURE_SETS, ITEM_PROMOTIONS

if TYPE_CHECKING:
    from feast import FeatureStore

MARKER = "recsys:online_features:through"
_SECONDS = 60.0
_EPOCH = datetime(1970, 1, 2, tzinfo=UTC)


class OnlineStoreUnreachable(ConnectionError):
    """The online store does not answer, so nothing was materialized."""

    def __init__(self, url: str, cause: Exception) -> None:
        super().__init__(
            f"the online store at {url} does not answer ({cause}): start it (`recsys up` starts "
            "the embedded one) or correct RECSYS_ONLINE_STORE_URL, then materialize again; "
            "offline tables are as they were"
        )


@dataclass(frozen=True)
class Materialization:
    """What was sent: the span of snapshot times, and whether it was all of history."""

    start: datetime
    end: datetime
    complete: bool


def connect(url: str) -> redis.Redis:
    """A client for batch work: it waits as long as a batch may take."""
    return redis.Redis.from_url(url, socket_connect_timeout=5.0, socket_timeout=_SECONDS)


def materialize(
    feature_store: "FeatureStore", url: str, history_start: date, today: date
) -> Materialization:
    """Sends the values as of `today` 00:00 UTC.

    Going back to an earlier day sends all of history up to it; entities first seen after that
    day then keep the values of the later one, for Feast has no deletion by time.

    Raises:
        OnlineStoreUnreachable: the store does not answer.
    """
    end = _midnight(today)
    client = connect(url)
    try:
        marker = client.get(MARKER)
        through = datetime.fromisoformat(bytes(marker).decode()) if marker else None
        start = through if through and through <= end else _midnight(history_start)
        # Until all is sent, the store is complete through no moment.
        client.delete(MARKER)
        feature_store.materialize(
            _midnight(history_start), end, feature_views=list(ATTRIBUTE_TABLES)
        )
        # What is valid today may have begun before history did.
        feature_store.materialize(_EPOCH, end, feature_views=[ITEM_PROMOTIONS.name])
        feature_store.materialize(start, end, feature_views=[f.name for f in DAILY_FEATURE_SETS])
        client.set(MARKER, end.isoformat())
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise OnlineStoreUnreachable(url, error) from error
    finally:
        client.close()
    return Materialization(start, end, complete=start != through)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
