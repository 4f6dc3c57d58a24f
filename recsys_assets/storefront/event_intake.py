"""Judges the events of a request, and keeps all that can be accepted, or none of them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from recsys_assets.pipeline.circuit import Circuit, StoreUnavailable
from recsys_assets.pipeline.seen_items import record_events
from recsys_assets.pipeline.seen_settings import DEFAULT_FILTERS, FilterSettings
from recsys_assets.storage.online_store import STORE_ERRORS, open_store
from recsys_assets.storefront.bodies import FULL_SECONDS, RETRY_SECONDS, NotKept, parsed_array
from recsys_assets.storefront.event_rows import Event, UnusableEvent, broken_rules, shared_ids
from recsys_assets.storefront.event_stream import EventStream

_LOG = logging.getLogger(__name__)
_CONNECT_SECONDS, _ANSWER_SECONDS = 0.5, 2.0
_SHARED_ID = (
    "shared_event_id",
    "event_id is that of another event of this body: give each event, as each line of an order, "
    "its own",
)


@dataclass(frozen=True)
class IntakeLimits:
    """What one service takes on.

    Attributes:
        concurrency: requests being worked on at a time; further ones are refused.
        bodies: requests whose bodies are held at a time, come or still to come; further ones are
            refused before a byte of theirs is read.
        most_bytes: of a body.
        most_events: of a body.
        most_unlanded: events in the stream, some 400 bytes each, so that a landing that stands
            still does not fill the store that recommendations need.
    """

    concurrency: int = 32
    bodies: int = 64
    most_bytes: int = 1_000_000
    most_events: int = 1000
    most_unlanded: int = 2_000_000


DEFAULT_LIMITS = IntakeLimits()


@dataclass(frozen=True)
class EventVerdict:
    """What becomes of one event: refused if there is a `reason`; `event` is None if unreadable."""

    event: Event | None
    reason: str = ""
    detail: str = ""

    @property
    def accepted(self) -> Event | None:
        """The event, unless it is refused."""
        return None if self.reason else self.event

    def as_answer(self) -> dict[str, Any]:
        """Its part of the answer."""
        told = {"event_id": self.event and self.event.event_id, "accepted": not self.reason}
        why = {"reason": self.reason, "detail": self.detail}
        return told | {name: value for name, value in why.items() if value}


def judge(given: Sequence[object], now: datetime) -> list[EventVerdict]:
    """What becomes of JSON values by the contract, in their order.

    Different events that share an id are all refused: only one of them would count.
    """
    verdicts = [_read(one) for one in given]
    events = {place: one.event for place, one in enumerate(verdicts) if one.event is not None}
    shared = shared_ids(list(events.values()))
    for place, event in events.items():
        if event.event_id in shared:
            verdicts[place] = EventVerdict(event, *_SHARED_ID)
    places = list(events)
    for number, reason in broken_rules(list(events.values()), now).items():
        verdicts[places[number]] = EventVerdict(events[places[number]], reason)
    return verdicts


class EventIntake:
    """Takes bodies of requests; one serves many threads.

    Args:
        store: whose stream and filters of seen items are written.
        limits: of this process.
        filters: of buyers who have none yet.
    """

    def __init__(
        self, store: redis.Redis, limits: IntakeLimits, filters: FilterSettings = DEFAULT_FILTERS
    ) -> None:
        self.stream = EventStream(store)
        self._store, self._limits, self._filters = store, limits, filters
        self._circuit = Circuit()

    def take(self, body: bytes) -> list[EventVerdict]:
        """What has become of each event of a body.

        Raises:
            UnusableBody: it holds no events.
            NotKept: the store is away or full. Should it have kept them all the same, as only its
                answer was lost, then events that are sent again with their ids count once.
        """
        verdicts = judge(parsed_array(body, "events", self._limits.most_events), datetime.now(UTC))
        accepted = [one.accepted for one in verdicts if one.accepted is not None]
        try:
            kept = not accepted or self._circuit.call(lambda: self._keep(accepted))
        except StoreUnavailable as error:
            _LOG.warning("events are not accepted: %s", error)
            raise NotKept(f"{error}; send all of them again", RETRY_SECONDS) from None
        if not kept:
            reason = f"{self._limits.most_unlanded} events wait to be landed; send them again later"
            raise NotKept(reason, FULL_SECONDS)
        return verdicts

    def why_not_ready(self) -> str:
        """Empty while the store answers."""
        try:
            self._store.ping()
        except STORE_ERRORS as error:
            return f"the online store does not answer: {error}"
        return ""

    def _keep(self, events: Sequence[Event]) -> bool:
        """Purchases first: a filter that knows one early does no harm, an event kept twice might.

        Returns:
            Whether there was room.
        """
        bought = [one.row for one in events if one.row["event"] == "purchase"]
        pairs = ((row["user_id"], row["item_id"]) for row in bought)
        record_events(self._store, pairs, self._filters)
        rows = [(one.event_id, one.made, one.row_as_json()) for one in events]
        return self.stream.append(rows, self._limits.most_unlanded)


def connect(url: str) -> redis.Redis:
    """A client that fails in time for an answer, and leaves trying again to the caller."""
    return open_store(
        url,
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_timeout=_ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def _read(given: object) -> EventVerdict:
    try:
        return EventVerdict(Event.of(given))
    except UnusableEvent as error:
        return EventVerdict(None, error.reason, str(error))
