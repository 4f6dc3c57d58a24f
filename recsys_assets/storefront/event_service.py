"""POST /v1/events: what users do, accepted one by one, and durable once it is accepted.

The body is a JSON array of objects with the columns of the data contract (`events/contract.py`),
and `event_id` where the caller may have to send an event again. The answer says for each, in the
order given, what became of it:

    {"accepted": 1, "refused": 1, "events": [
        {"event_id": "6f1c...", "accepted": true},
        {"event_id": "80ad...", "accepted": false, "reason": "in_the_future"}]}

| status | when |
|---|---|
| 202 | all are accepted: in the stream, and purchases in the buyers' filters of seen items |
| 207 | some are |
| 422 | none is; or the body is no array of events, as `detail` says |
| 401, 408, 413 | no token, or a wrong one; the body comes too slowly; it is too large |
| 503 | none is, as the store is away, full or busy: the same again after `Retry-After` seconds |

At 100 million users a post goes to a Kafka topic instead, see `event_landing.py`; what callers see
stays as it is.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import prometheus_client
import redis
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from recsys_assets.pipeline.seen_settings import DEFAULT_FILTERS, FilterSettings
from recsys_assets.storage.online_store import STORE_ERRORS
from recsys_assets.storefront.access import Tokens
from recsys_assets.storefront.bodies import Bodies, verdicts
from recsys_assets.storefront.event_intake import (
    DEFAULT_LIMITS,
    EventIntake,
    EventVerdict,
    IntakeLimits,
    judge,
)
from recsys_assets.storefront.event_stream import EventStream
from recsys_assets.storefront.item_intake import DEFAULT_ITEM_LIMITS, ItemIntake, ItemLimits
from recsys_assets.storefront.item_routes import ITEM_PATH, ITEMS_PATH, add_item_routes
from recsys_assets.storefront.web import HttpMetrics, Service

PATH = "/v1/events"


class EventMetrics:
    """What is told beside the figures of HTTP."""

    def __init__(self, registry: prometheus_client.CollectorRegistry, stream: EventStream) -> None:
        self._accepted = prometheus_client.Counter(
            "recsys_events_accepted", "Events accepted", ["event"], registry=registry
        )
        self._refused = prometheus_client.Counter(
            "recsys_events_refused", "Events that break the contract", ["reason"], registry=registry
        )
        unlanded_gauge(registry, stream)

    def count(self, verdicts: Sequence[EventVerdict]) -> None:
        """Counts what has been answered; an event with two reasons counts for both."""
        events = [one.accepted for one in verdicts]
        for event, count in Counter(one.row["event"] for one in events if one).items():
            self._accepted.labels(event).inc(count)
        reasons = Counter(word for one in verdicts for word in one.reason.split(",") if word)
        for reason, count in reasons.items():
            self._refused.labels(reason).inc(count)


def unlanded_gauge(registry: prometheus_client.CollectorRegistry, stream: EventStream) -> None:
    """The stream's length, asked for when the metrics are; NaN while the store is away."""

    def length() -> float:
        try:
            return stream.length()
        except STORE_ERRORS:
            return float("nan")

    prometheus_client.Gauge(
        "recsys_events_unlanded", "Accepted events that are in no file yet", registry=registry
    ).set_function(length)


def event_service(
    store: redis.Redis,
    limits: IntakeLimits = DEFAULT_LIMITS,
    filters: FilterSettings = DEFAULT_FILTERS,
    tokens: Tokens | None = None,
    item_limits: ItemLimits = DEFAULT_ITEM_LIMITS,
) -> tuple[Service, FastAPI]:
    """The service and its application.

    Args:
        store: of `event_intake.connect`; the application closes it.
        limits: of this process.
        filters: of buyers who have no filter of seen items yet.
        tokens: one of which callers must bring; None lets all in.
        item_limits: of this process, of changes of items.
    """
    intake = EventIntake(store, limits, filters)
    bodies = Bodies(limits.bodies, limits.concurrency)
    http = HttpMetrics("events")
    metrics = EventMetrics(http.registry, intake.stream)
    service = Service(http, lambda: run_in_threadpool(intake.why_not_ready))

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        # Half a second the first time, which no caller is to wait for.
        await run_in_threadpool(judge, [{}], datetime.now(UTC))
        yield
        store.close()

    async def post(request: Request) -> Response:
        judged = await bodies.taken(request, limits.most_bytes, intake.take)
        metrics.count(judged)
        return verdicts("events", [one.as_answer() for one in judged], whole=202)

    app = service.app(tokens, running, PATH, ITEMS_PATH, ITEM_PATH)
    app.add_api_route(PATH, post, methods=["POST"])
    add_item_routes(app, bodies, ItemIntake(store, item_limits), http.registry)
    return service, app
