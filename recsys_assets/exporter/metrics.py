"""What the exporter tells Prometheus; days are the midnight (UTC) that begins them."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import redis
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from recsys_assets.exporter.reading import PARTS, Facts, StoreAway, StoreReader
from recsys_assets.monitoring.answer_stream import length
from recsys_assets.storage.online_store import STORE_ERRORS

_LOG = logging.getLogger(__name__)


@dataclass
class UncollectedAnswers:
    """Asks the online store again and again.

    Attributes:
        client: of it.
        limit: beyond which answers are not logged any more.
        count: when it was asked last; NaN before, and while it does not answer.
    """

    client: redis.Redis
    limit: int
    count: float = field(default=float("nan"), init=False)

    def look(self) -> None:
        """Asks once."""
        try:
            self.count = length(self.client)
        except STORE_ERRORS:
            self.count = float("nan")  # that it is away others tell


class StoreMetrics(Collector):
    """Metrics of one store. A scrape sees one reading as a whole, and never waits for one.

    Before the first reading that succeeds only `recsys_store_reachable` is told of it: 0 would be
    a lie about everything else.

    Args:
        reader: of the store.
        answers: those that wait in the online store.
    """

    def __init__(self, reader: StoreReader, answers: UncollectedAnswers) -> None:
        self.registry = CollectorRegistry()
        self._reader, self._answers = reader, answers
        self._facts: Facts | None = None
        self._unread: dict[str, str] = {}
        self._reachable = False
        self._seconds = 0.0
        self._read_at = 0.0
        self.registry.register(self)

    def look(self) -> None:
        """Reads the store once; while it is away, what it last held stands."""
        self._answers.look()
        started = time.perf_counter()
        try:
            facts, unread = self._reader.read()
        except StoreAway as error:
            self._reachable = False
            self._seconds = time.perf_counter() - started
            _LOG.warning("%s", error)
            return
        for part in unread:
            _LOG.warning("%s cannot be read: %s", part, unread[part])
        self._seconds = time.perf_counter() - started
        self._read_at = time.time()
        self._facts, self._unread, self._reachable = facts, unread, True

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Families as Prometheus asks for them."""
        facts, unread = self._facts, self._unread
        yield _gauge("recsys_store_reachable", "1 if the store answered", self._reachable)
        yield _gauge("recsys_exporter_read_seconds", "Of the last reading", self._seconds)
        yield _gauge(
            "recsys_uncollected_answers",
            "Answers in the online store that are in no file yet, NaN while it is away",
            self._answers.count,
        )
        yield _gauge(
            "recsys_uncollected_answers_limit",
            "So many may wait there; further ones are not logged",
            self._answers.limit,
        )
        if facts is None:
            return
        yield _gauge(
            "recsys_exporter_read_timestamp_seconds", "When the store was last read", self._read_at
        )
        yield _labelled(
            "recsys_exporter_unreadable",
            "1 if a part of the store could not be read, so that its metrics are old",
            "part",
            {part: float(part in unread) for part in PARTS},
        )
        yield from _of(facts)


def _of(facts: Facts) -> Iterator[GaugeMetricFamily]:
    release, drift, business = facts.release, facts.drift, facts.business
    for name, text, value in (
        ("promoted_release", "Release that should answer, 0 if none", release.number),
        ("release_promoted_timestamp_seconds", "When it was promoted", release.promoted_at),
        (
            "release_trained_through_timestamp_seconds",
            "Last day that it has learned from",
            release.trained_through,
        ),
        (
            "release_data_through_timestamp_seconds",
            "Last day of the data that it answers from",
            release.data_through,
        ),
        ("drift_day_timestamp_seconds", "Day of the newest drift report, 0 if none", drift.day),
        ("drift_alarming", "1 if the newest drift report alarms", drift.alarming),
        ("business_day_timestamp_seconds", "Day of the newest figures, 0 if none", business.day),
        ("business_alarming", "1 if the newest figures have fallen", business.alarming),
        (
            "interactions_day_timestamp_seconds",
            "Newest day of interactions, 0 if none",
            facts.interactions,
        ),
        ("answers_in_parts", "Answers in files that wait for their day's partition", facts.answers),
    ):
        yield _gauge(f"recsys_{name}", text, value)
    yield _labelled(
        "recsys_drift_psi", "PSI of the newest drift report, in nats", "feature", drift.psi
    )
    yield _labelled(
        "recsys_graph_alert_timestamp_seconds",
        "When the asset graph raised its last alert of a kind",
        "kind",
        facts.alerts,
    )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))


def _labelled(name: str, text: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value_of, value in values.items():
        family.add_metric([value_of], value)
    return family
