"""What the served model tells Prometheus, through Triton's metrics endpoint.

Runs in Triton's Python stub, where every increment is a message to the server that is waited for,
and may be sent by the thread that answers requests alone: from any other it ends the process
(Triton 24.10). So batches are summed up, and a batch in every second sends the sums, and how far
changes of items are followed. The processes of one release add to the same counters; gauges bear
their names.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from recsys_assets.pipeline.item_follower import FollowerState
from recsys_assets.pipeline.pipeline import Effort, Slates
from recsys_assets.triton import metric_names as names

_SEND_EVERY_SECONDS = 1.0
_SHEDDING = (Effort.FEWER_CANDIDATES, Effort.POPULAR)
_WHOLE = (
    *(names.DEGRADED, names.EXPIRED, names.REFUSED, names.UNLOGGED),
    *(names.SEEN_CHECKED, names.SEEN_EXCLUDED),
)


class StubMetrics:
    """Counts batches of one release.

    Args:
        backend: `triton_python_backend_utils`.
        release: number of the release, the label of all metrics.
        process: name of this one among those of the release.
        follower: says how far changes of items are followed.
    """

    def __init__(
        self, backend: Any, release: str, process: str, follower: Callable[[], FollowerState]
    ) -> None:
        self._release, self._process, self._follower = release, process, follower
        kinds = {"counter": backend.MetricFamily.COUNTER, "gauge": backend.MetricFamily.GAUGE}
        # The families must be kept: a metric does not outlive its own.
        self._families = {
            name: backend.MetricFamily(
                name=name, description=metric.description, kind=kinds[metric.kind]
            )
            for name, metric in names.SERVED.items()
        }
        self._metrics: dict[tuple[str, ...], Any] = {}
        self._sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._sent = time.monotonic()
        self._metric((names.RELEASE_INFO,)).set(1)
        # What has not happened is 0, not absent: that filters are never asked is an alert.
        for name in _WHOLE:
            self._metric((name,)).increment(0)
        for effort in _SHEDDING:
            self._metric((names.SHED, effort.name.lower())).increment(0)
        self._tell_follower()

    def count(self, efforts: np.ndarray, slates: Slates, respond_seconds: float) -> None:
        """Counts a batch: its `Effort` of each row int [n], what came of it, and what it took."""
        rows = len(efforts)
        size = next(size for size in (*names.BATCH_SIZES, rows) if rows <= size)
        outage = slates.degraded & (efforts == Effort.FULL)
        sums = self._sums
        for stage, seconds in {**slates.seconds, "respond": respond_seconds}.items():
            sums[names.STAGE_SECONDS, stage] += seconds
            sums[names.STAGE_ROWS, stage] += rows
            for le in (*(le for le in names.BUCKETS if seconds <= le), "+Inf"):
                sums[names.STAGE_BUCKET, stage, str(le)] += 1
        sums[names.BATCH_ROWS, str(size)] += 1
        for effort in _SHEDDING:
            sums[names.SHED, effort.name.lower()] += int((efforts == effort).sum())
        sums[names.DEGRADED,] += int(outage.sum())
        sums[names.EXPIRED,] += sum(
            ranking is None and not refused
            for ranking, refused in zip(slates.rankings, slates.refused, strict=True)
        )
        sums[names.REFUSED,] += int(slates.refused.sum())
        sums[names.SEEN_CHECKED,] += slates.checked
        sums[names.SEEN_EXCLUDED,] += slates.excluded
        if time.monotonic() - self._sent >= _SEND_EVERY_SECONDS:
            self._send()

    def count_unlogged(self, answers: int) -> None:
        """Counts answers that the log could not take."""
        if answers:
            self._sums[names.UNLOGGED,] += answers

    def _send(self) -> None:
        for key, value in self._sums.items():
            if value:
                self._metric(key).increment(value)
        self._sums.clear()
        self._tell_follower()
        self._sent = time.monotonic()

    def _tell_follower(self) -> None:
        now = self._follower()
        self._metric((names.OFF_SALE, self._process)).set(now.off_sale)
        self._metric((names.ITEMS_POSITION, self._process)).set(now.position)
        self._metric((names.ITEMS_AGE, self._process)).set(now.age)

    def _metric(self, key: tuple[str, ...]) -> Any:
        name, *labels = key
        if key not in self._metrics:
            by_name = dict(zip(names.SERVED[name].labels, labels, strict=True))
            self._metrics[key] = self._families[name].Metric(
                labels={"release": self._release, **by_name}
            )
        return self._metrics[key]
