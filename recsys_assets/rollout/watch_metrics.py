"""What the watchdog tells Prometheus, on a port of its own.

A server that is down cannot count that it is; its watchdog can.
"""

import math
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from recsys_assets.rollout.faults import FaultKind, Observation

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class WatchMetrics:
    """Metrics of one watchdog or agent; `serve` makes them readable.

    Until a server has been asked and has answered once, how it is is not known (NaN): it is loading
    its first release, which is not a fault.
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._probe_seconds = Histogram(
            "recsys_probe_seconds",
            "Seconds of a real request to Triton",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._probe_up = Gauge(
            "recsys_probe_up",
            "1 if the last real request was answered, else 0; NaN before the first that was",
            registry=registry,
        )
        self._probe_release = Gauge(
            "recsys_probe_release",
            "Release that answered the last real request, 0 if none",
            registry=registry,
        )
        self._promoted_release = Gauge(
            "recsys_promoted_release", "Release that should answer, 0 if none", registry=registry
        )
        self._processes = Gauge(
            "recsys_model_processes",
            "Processes of the promoted release that live",
            registry=registry,
        )
        self._processes_wanted = Gauge(
            "recsys_model_processes_wanted", "Processes that it should have", registry=registry
        )
        self._healed = Counter(
            "recsys_healed", "Faults that were healed", ["fault"], registry=registry
        )
        self._unhealed = Counter(
            "recsys_unhealed", "Looks at a fault that could not be healed", registry=registry
        )
        for kind in get_args(FaultKind):  # what has not happened is 0, not absent
            self._healed.labels(kind)
        self._answered_once = False
        self._probe_up.set(math.nan)

    def serve(self, port: int) -> None:
        """Answers Prometheus on 127.0.0.1 and `port`, until the process ends."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)

    def saw(self, seen: Observation, promoted: int) -> None:
        """Records what a look at Triton found; `promoted` is 0 if no release is."""
        self._promoted_release.set(promoted)
        if seen.probe:
            self._probe_seconds.observe(seen.probe.seconds)
        answered = seen.probe is not None and seen.probe.outcome == "answered"
        self._answered_once |= answered
        self._set_up(answered)
        self._probe_release.set((seen.probe and seen.probe.release) or 0)
        if seen.processes:
            living, wanted = seen.processes
            self._processes.set(living)
            self._processes_wanted.set(wanted)

    def saw_no_server(self) -> None:
        """Records that there was nothing to ask."""
        self._set_up(False)
        self._probe_release.set(0)
        self._processes.set(0)  # they went with it: that is no dead process beside a living one
        self._processes_wanted.set(0)

    def wants(self, release: int) -> None:
        """Records what should answer, where that is not what the last look was about."""
        self._promoted_release.set(release)

    def healed(self, kind: FaultKind) -> None:
        """Counts a fault that is no more."""
        self._healed.labels(kind).inc()

    def could_not_heal(self) -> None:
        """Counts a look at a fault that stays."""
        self._unhealed.inc()

    def _set_up(self, answered: bool) -> None:
        self._probe_up.set(float(answered) if self._answered_once else math.nan)
