"""Brings the online store to the values as of a moment, through Feast.

A marker in the online store says through which moment it is complete, and another one of which
files of the offline store. While they stand, a new day costs a day: only snapshots and promotions
since are sent. Where a day that was sent has been computed again, because a file came late, it and
all after it are sent again. An emptied or replaced store has no markers, so the next
materialization sends the last value of every entity, and heals it.

It never goes back: a value is replaced by one of an earlier moment only where the later one has
turned out not to be.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import redis
from redis.exceptions import RedisClusterException

from recsys_assets.features.attributes import ATTRIBUTE_TABLES
from recsys_assets.features.declarations import (
    DAILY_FEATURE_SETS,
    ITEM_PROMOTIONS,
    USER_FEATURES,
)
from recsys_assets.features.parity import KEYS, VIEWS
from recsys_assets.features.reader import drop_rows, forget_times, without_time
from recsys_assets.runtime.pace import Progress, silent
from recsys_assets.settings.days import midnight
from recsys_assets.storage import MissingPartition, Store
from recsys_assets.storage.filesystem import read_bytes
from recsys_assets.storage.online_store import open_store

if TYPE_CHECKING:
    from feast import FeatureStore

MARKER = "recsys:online_features:through"
_SENT = "recsys:online_features:sent"
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


@dataclass(frozen=True)
class OfflineContents:
    """What the offline store holds: whatever of it changes has to be sent.

    Attributes:
        whole: digests of attributes and promotion plan, which are not written day by day.
        days: of each day of the daily features, what tells its files from others.
    """

    whole: Mapping[str, str]
    days: Mapping[str, str]

    @classmethod
    def of(cls, store: Store) -> "OfflineContents":
        """To be read before the tables are: what is replaced in between is then sent again.

        Raises:
            MissingPartition: attributes or promotion plan have not been materialized.
        """
        whole = {}
        for name in (*ATTRIBUTE_TABLES, ITEM_PROMOTIONS.name):
            table = store.table(name)
            content = read_bytes(table.path())
            if content is None:
                raise MissingPartition(name, None, table.url)
            whole[name] = hashlib.sha256(content).hexdigest()
        days: dict[str, str] = {}
        for features in DAILY_FEATURE_SETS:
            for day, version in store.table(features.name).versions().items():
                days[day] = f"{days.get(day, '')}/{version}"
        return cls(whole, days)

    @classmethod
    def sent_to(cls, client: redis.Redis) -> "OfflineContents | None":
        """What the online store was made from; None while that is not known."""
        stored = client.get(_SENT)
        return cls(**json.loads(stored)) if isinstance(stored, bytes) else None

    def through(self, end: datetime) -> "OfflineContents":
        """What is known at the moment."""
        known = {day: version for day, version in self.days.items() if _known(day) <= end}
        return OfflineContents(self.whole, known)

    def first_changed(self, sent: "OfflineContents") -> datetime | None:
        """When the first day that is new, or another than was sent, becomes known."""
        changed = [day for day, version in self.days.items() if sent.days.get(day) != version]
        return _known(min(changed)) if changed else None


def connect(url: str) -> redis.Redis:
    """A client for batch work: it waits as long as a batch may take."""
    return open_store(url, socket_connect_timeout=5.0, socket_timeout=_SECONDS)


def complete_through(client: redis.Redis) -> datetime | None:
    """The moment as of which the store holds all values; None while that is not known."""
    marker = client.get(MARKER)
    return datetime.fromisoformat(marker.decode()) if isinstance(marker, bytes) else None


def last_complete_day(url: str) -> str | None:
    """The last day, YYYY-MM-DD, that the store at a URL holds whole; None if it holds none."""
    with connect(url) as client:
        through = complete_through(client)
    return None if through is None else (through.date() - timedelta(days=1)).isoformat()


def materialize(
    feature_store: "FeatureStore",
    url: str,
    history_start: date,
    today: date,
    contents: OfflineContents,
    progress: Progress = silent,
) -> Materialization:
    """Sends the values as of `today` 00:00 UTC, or of the moment that the store has reached.

    Args:
        feature_store: an opened store whose registry holds the views.
        url: of the online store.
        history_start: first day of history.
        today: the first day that history does not hold.
        contents: of the offline store, read before `feature_store` was opened.
        progress: counts feature views.

    Raises:
        OnlineStoreUnreachable: the store does not answer.
    """
    client = connect(url)
    try:
        through, sent = complete_through(client), OfflineContents.sent_to(client)
        end = max(midnight(today), through or _EPOCH)
        known, since = contents.through(end), midnight(history_start)
        if through is None or sent is None:
            steps = _everything(since)
        else:
            steps = _what_changed(known, sent, since, through)
        # Until all is sent, the store is complete through no moment.
        client.delete(MARKER)
        sending = _Sending(feature_store, client, since, end)
        for number, step in enumerate(steps, 1):
            sending.send(step)
            progress(number, len(steps))
        client.set(_SENT, json.dumps(asdict(known)))
        client.set(MARKER, end.isoformat())
    except (redis.ConnectionError, redis.TimeoutError, RedisClusterException) as error:
        raise OnlineStoreUnreachable(url, error) from error
    finally:
        client.close()
    daily = [step.since for step in steps if step.view == USER_FEATURES.name]
    return Materialization(min(daily, default=end), end, complete=through is None or sent is None)


@dataclass(frozen=True)
class _Step:
    """The rows of a view since a moment; `again` if the store may hold wrong ones of then."""

    view: str
    since: datetime
    again: bool


def _everything(history_start: datetime) -> list[_Step]:
    views = (*ATTRIBUTE_TABLES, *(features.name for features in DAILY_FEATURE_SETS))
    steps = [_Step(view, history_start, again=True) for view in views]
    return [*steps, _Step(ITEM_PROMOTIONS.name, _EPOCH, again=True)]


def _what_changed(
    known: OfflineContents, sent: OfflineContents, history_start: datetime, through: datetime
) -> list[_Step]:
    other = {view for view, digest in known.whole.items() if sent.whole.get(view) != digest}
    steps = [_Step(view, history_start, again=True) for view in ATTRIBUTE_TABLES if view in other]
    plan = ITEM_PROMOTIONS.name
    # What is valid today may have begun before history did.
    steps.append(_Step(plan, _EPOCH if plan in other else through, again=plan in other))
    changed = known.first_changed(sent)
    if changed is not None:
        again = changed <= through
        steps += [_Step(features.name, changed, again) for features in DAILY_FEATURE_SETS]
    return steps


@dataclass(frozen=True)
class _Sending:
    """Sends views up to a moment."""

    feature_store: "FeatureStore"
    client: redis.Redis
    history_start: datetime
    end: datetime

    def send(self, step: _Step) -> None:
        """Sends the last row of every entity that has one since then.

        What is sent again replaces what is there, also where the right row is older, or gone.
        """
        view = step.view
        (key,) = (KEYS[entity] for entity, views in VIEWS.items() if view in views)
        # Of all history also what a run that was cut short has forgotten, and not written.
        since = step.since if step.since > self.history_start else None
        forgotten = forget_times(self.client, key, view, since) if step.again else []
        self.feature_store.materialize(step.since, self.end, feature_views=[view])
        older = without_time(self.client, forgotten, view)
        if older and step.since > self.history_start:
            self.feature_store.materialize(self.history_start, step.since, feature_views=[view])
            older = without_time(self.client, older, view)
        if older:
            features = self.feature_store.get_feature_view(view).features
            drop_rows(self.client, older, view, [feature.name for feature in features])


def _known(day: str) -> datetime:
    """When the features of a day are known."""
    return midnight(date.fromisoformat(day) + timedelta(days=1))
