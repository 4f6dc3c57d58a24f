"""Brings the online store to the values as of a moment, through Feast.

A marker in the online store says through which moment it is complete, and another one of which
attributes and promotion plan. While they stand, a new day costs a day: only snapshots and
promotions since are sent. An emptied or replaced store has no markers, so the next
materialization sends the last value of every entity, and heals it.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import redis

from recsys_assets.features.attributes import ATTRIBUTE_TABLES
from recsys_assets.features.declarations import DAILY_FEATURE_SETS, ITEM_PROMOTIONS
from recsys_assets.pace import Progress, silent
from recsys_assets.storage import MissingPartition, Store
from recsys_assets.storage.filesystem import read_bytes
from recsys_assets.storage.online_store import open_store

if TYPE_CHECKING:
    from feast import FeatureStore

MARKER = "recsys:online_features:through"
_SOURCES = "recsys:online_features:sources"
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
    return open_store(url, socket_connect_timeout=5.0, socket_timeout=_SECONDS)


def complete_through(client: redis.Redis) -> datetime | None:
    """The moment as of which the store holds all values; None while that is not known."""
    marker = client.get(MARKER)
    return datetime.fromisoformat(marker.decode()) if isinstance(marker, bytes) else None


def fingerprint(store: Store) -> str:
    """Names the content of attributes and promotion plan, which are not written day by day.

    Raises:
        MissingPartition: one of them has not been materialized.
    """
    digest = hashlib.sha256()
    for name in (*ATTRIBUTE_TABLES, ITEM_PROMOTIONS.name):
        table = store.table(name)
        content = read_bytes(table.path())
        if content is None:
            raise MissingPartition(name, None, table.url)
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def materialize(
    feature_store: "FeatureStore",
    url: str,
    history_start: date,
    today: date,
    sources: str,
    progress: Progress = silent,
) -> Materialization:
    """Sends the values as of `today` 00:00 UTC.

    Going back to an earlier day sends all of history up to it; entities first seen after that
    day then keep the values of the later one, for Feast has no deletion by time.

    Args:
        feature_store: an opened store whose registry holds the views.
        url: of the online store.
        history_start: first day of history.
        today: the first day that history does not hold.
        sources: `fingerprint` of the offline store; where it has changed, attributes and the
            whole promotion plan are sent again.
        progress: counts feature views.

    Raises:
        OnlineStoreUnreachable: the store does not answer.
    """
    end = _midnight(today)
    client = connect(url)
    try:
        through = complete_through(client)
        start = through if through and through <= end else _midnight(history_start)
        known = client.get(_SOURCES)
        unchanged = start == through and known == sources.encode()
        # Until all is sent, the store is complete through no moment.
        client.delete(MARKER)
        views = [] if unchanged else [(view, _midnight(history_start)) for view in ATTRIBUTE_TABLES]
        # What is valid today may have begun before history did.
        views.append((ITEM_PROMOTIONS.name, start if unchanged else _EPOCH))
        views += [(features.name, start) for features in DAILY_FEATURE_SETS]
        for number, (view, since) in enumerate(views, 1):
            feature_store.materialize(since, end, feature_views=[view])
            progress(number, len(views))
        client.set(_SOURCES, sources)
        client.set(MARKER, end.isoformat())
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise OnlineStoreUnreachable(url, error) from error
    finally:
        client.close()
    return Materialization(start, end, complete=start != through)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
