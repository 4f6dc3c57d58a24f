"""Accepted events become files that the Parquet source reads: `recsys land-events`.

Every batch of the stream (`event_stream.py`) is written as one object for each day on which its
events happened, whenever they arrive:

    <source>/interactions/day=2026-11-23/events-<batch>.parquet
    <source>/quarantined_events/day=2026-11-23/events-<batch>.parquet    what cannot be read

Then the batch leaves the stream. The name is made of the batch's first and last place in the
stream, so that a process which is killed anywhere in between writes the same objects again when it
is back: nothing is lost, and nothing is there twice. For the same reason a second process beside
this one is wasteful, not harmful.

An event that arrives after its day was ingested waits in its day's folder until that day is
materialized again; `recsys_events_landed_late_rows_total` counts such rows.

One process lands some ten thousand events a second. At 100 million users, a peak of some 500,000
events a second, a Kafka topic keyed by user id takes the place of the stream (`acks=all`), and its
connector to S3 or Iceberg the place of this module: it is exactly-once by the same means, names
made of offsets. The contracts above and below, HTTP and Parquet by day, stay.
"""

import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

import redis
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from starlette.concurrency import run_in_threadpool

from recsys_assets.storage.online_store import STORE_ERRORS
from recsys_assets.storefront import event_files
from recsys_assets.storefront.event_files import Contents
from recsys_assets.storefront.event_service import unlanded_gauge
from recsys_assets.storefront.event_stream import EventStream
from recsys_assets.storefront.web import HttpMetrics, Service

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS, _LONGEST_PAUSE = 0.5, 30.0
_LONGEST_LANDING = 300.0  # seconds: a loop that has not turned for longer hangs


@dataclass(frozen=True)
class Pace:
    """When a batch is landed: after so many seconds, or as soon as there are so many events."""

    seconds: float = 60.0
    events: int = 20_000


DEFAULT_PACE = Pace()


class LandingMetrics:
    """What is told of the landing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rows = Counter(
            "recsys_events_landed_rows", "Rows written to files", registry=registry
        )
        self._late = Counter(
            "recsys_events_landed_late_rows",
            "Rows written for a day that was over: materialize it again",
            registry=registry,
        )
        self._repeated = Counter(
            "recsys_events_repeated", "Events dropped that had come before", registry=registry
        )
        self._quarantined = Counter(
            "recsys_events_quarantined",
            "Entries that are no events, or have the id of another one",
            registry=registry,
        )
        self._failures = Counter(
            "recsys_events_landing_failures", "Attempts to land that failed", registry=registry
        )

    def landed(self, contents: Contents, today: date) -> None:
        """Counts a batch that has left the stream."""
        rows = {day: len(events) for day, events in contents.by_day.items()}
        self._rows.inc(sum(rows.values()))
        self._late.inc(sum(count for day, count in rows.items() if day < today))
        self._repeated.inc(contents.repeated)
        self._quarantined.inc(len(contents.quarantined))

    def failed(self) -> None:
        """Counts an attempt that is to be made again."""
        self._failures.inc()


class Landing:
    """Moves events from the stream into files below `url` (`file://` or `s3://`)."""

    def __init__(self, stream: EventStream, url: str, metrics: LandingMetrics) -> None:
        self._stream, self._url, self._metrics = stream, url.rstrip("/"), metrics

    def land(self, most: int) -> int:
        """Lands one batch of up to `most` events; returns how many have left the stream.

        Raises:
            STORE_ERRORS: the store does not answer; the batch is landed next time.
            OSError: the storage does not take the files; likewise.
        """
        batch = self._stream.take(most)
        if batch is None:
            return 0
        now = time.time()
        contents = event_files.read(batch.entries, self._stream.landed_before(batch, now))
        event_files.write(self._url, batch, contents)
        self._stream.remember(contents.named, now)
        if not self._stream.settle(batch):
            _LOG.warning("another process has landed %s, too: one is enough", batch.name)
            return 0
        self._metrics.landed(contents, datetime.fromtimestamp(now, UTC).date())
        return len(batch.entries)


class Lander:
    """Lands at a pace until it is told to stop; an outage is waited out."""

    def __init__(
        self, landing: Landing, stream: EventStream, metrics: LandingMetrics, pace: Pace
    ) -> None:
        self._landing, self._stream, self._metrics, self._pace = landing, stream, metrics, pace
        self._stop = threading.Event()
        self._empty_at = float("-inf")  # what an earlier process has left is landed at once
        self._turned_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="landing")

    def start(self) -> None:
        """Begins, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Waits until the batch in hand is landed; what else is in the stream stays there."""
        self._stop.set()
        self._thread.join()

    def why_not_live(self) -> str:
        """Empty while the loop turns."""
        age = time.monotonic() - self._turned_at
        if not self._thread.is_alive():
            return "the landing has ended; its error is in the log"
        return f"the landing has not turned for {age:.0f} s" if age > _LONGEST_LANDING else ""

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            self._turned_at = time.monotonic()
            try:
                pause = self._turn()
            except (*STORE_ERRORS, OSError) as error:
                self._metrics.failed()
                pause = min(max(2 * pause, 1.0), _LONGEST_PAUSE)
                _LOG.warning("landing failed, again in %.0f s: %s", pause, error)

    def _turn(self) -> float:
        """Lands if it is time; returns the seconds until the next turn."""
        length, now = self._stream.length(), time.monotonic()
        if length < self._pace.events and now - self._empty_at < self._pace.seconds:
            return _LOOK_SECONDS
        self._empty_at = now
        landed = self._landing.land(self._pace.events) if length else 0
        return 0.0 if length - landed >= self._pace.events else _LOOK_SECONDS


def landing_service(
    store: redis.Redis, url: str, pace: Pace = DEFAULT_PACE
) -> tuple[Service, FastAPI]:
    """The landing with health and metrics.

    Args:
        store: of `event_intake.connect`; the application closes it.
        url: of the Parquet source.
        pace: of landing.
    """
    http, stream = HttpMetrics("land-events"), EventStream(store)
    metrics = LandingMetrics(http.registry)
    unlanded_gauge(http.registry, stream)
    lander = Lander(Landing(stream, url, metrics), stream, metrics, pace)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        lander.start()
        try:
            yield
        finally:
            await run_in_threadpool(lander.stop)
            store.close()

    async def ready() -> str:
        return lander.why_not_live()

    service = Service(http, ready, lander.why_not_live)
    return service, service.app(None, running)
