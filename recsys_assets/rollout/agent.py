"""The agent beside each Triton server of a cluster: it brings its server to the wanted release.

At every look it reads which release the store wants and heals what is wrong with its server
(`healing.py`): a new release is loaded beside the one that answers, proved and then switched to; a
server that was started again is loaded anew; a dead model process is renewed. The release before
stays loaded, so that a way back takes milliseconds.

Nothing coordinates the agents of a fleet, which could get stuck. No capacity is lost while a pod
loads, as its old release answers until the new one is proved; what a load costs is processor time.
So each agent waits a random part of `spread_seconds` before it loads what it does not hold, and not
at all before it switches to what it does: a way back is taken by all pods at once.

A release that cannot be served leaves the one before answering, and is tried again after 5 s, then
10, 20 and so on, up to a minute.
"""

import logging
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter, Gauge

from recsys_assets.releases.release import MissingRelease
from recsys_assets.releases.release_events import Promoted, UnreadableRecord
from recsys_assets.rollout.faults import probe
from recsys_assets.rollout.following import DesiredRelease, Following
from recsys_assets.rollout.healing import correct, reconcile
from recsys_assets.rollout.single_server import SingleServer, is_ready, load_beside, switch
from recsys_assets.rollout.watch_metrics import WatchMetrics
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.triton import model_processes
from recsys_assets.triton.client import is_live

_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 60.0
# A look may take a download and some loads, each of which has its limit; a longer one hangs.
_LIMITS_OF_A_LOOK = 3
_FAULTS = (ServiceError, MissingRelease, OSError)

_LOG = logging.getLogger(__name__)


@dataclass
class _Attempt:
    """A release that the server is to be brought to, and when; `error` is of the last try."""

    release: int
    due: float
    retry_seconds: float = _RETRY_SECONDS
    error: str = ""

    def failed(self, error: Exception) -> None:
        """Puts it off."""
        self.error = str(error)
        self.due = time.monotonic() + self.retry_seconds
        self.retry_seconds = min(2 * self.retry_seconds, _LONGEST_RETRY_SECONDS)


@dataclass(frozen=True)
class _Target:
    """What one look brings the server to, as `single_server.Recorded`."""

    following: Following
    record: Promoted

    def promoted(self) -> Promoted:
        return self.record

    def fetch(self, release: int) -> Path:
        return self.following.fetch(release)


class Agent:
    """Brings one server to what is wanted.

    Args:
        following: the wanted release, and folders of releases.
        server: the server beside this process.
        spread_seconds: within which the agents of a fleet begin to load a release.

    Attributes:
        metrics: what was found, for Prometheus.
        error: what hinders it; empty if nothing does.
        failed: whether the wanted release was tried, and the server could not be brought to it.
    """

    def __init__(self, following: Following, server: SingleServer, spread_seconds: float) -> None:
        self.following = following
        self.server = server
        self.metrics = WatchMetrics()
        self.error = ""
        self.failed = False
        self._store_reached = Gauge(
            "recsys_agent_store_reached",
            "1 if the last look at the store of releases succeeded",
            registry=self.metrics.registry,
        )
        self._failed_looks = Counter(
            "recsys_agent_failed_looks",
            "Looks that ended unforeseen, or found a record of the store damaged",
            registry=self.metrics.registry,
        )
        self._spread_seconds = spread_seconds
        self._looked_at = time.monotonic()
        # Proved last, and loaded beside it; what answers already when the agent starts is sound.
        self._serving = probe(server.grpc).release
        self._kept: int | None = None
        self._attempt: _Attempt | None = None
        self._unkept: set[int] = set()

    @property
    def accepted(self) -> set[int]:
        """Releases whose answers are in order: the wanted one, and the last until it is proved."""
        wanted = self.following.wanted
        found = {self._serving, wanted.release if wanted else None}
        return {release for release in found if release is not None}

    def has_proved(self, release: int) -> bool:
        """Whether the server was brought to a release, and has answered with it."""
        return release == self._serving

    @property
    def hangs(self) -> bool:
        """Whether a look has been going on for longer than any should."""
        return time.monotonic() - self._looked_at > _LIMITS_OF_A_LOOK * self.server.wait_seconds

    def run(self, stop: threading.Event, every_seconds: float) -> None:
        """Looks until it is told to stop, whatever a look comes upon: its server goes on."""
        said = ""
        while not stop.is_set():
            unforeseen: Exception | None = None
            try:
                self.look()
            except Exception as error:
                self._failed_looks.inc()
                self.error, unforeseen = f"a look has failed: {error!r}", error
            if self.error not in ("", said):
                _LOG.warning("%s", self.error, exc_info=unforeseen)
            said = self.error
            stop.wait(every_seconds)

    def look(self) -> None:
        """Looks at store and server once, and puts right what can be; `error` says what cannot."""
        self._looked_at = time.monotonic()
        before, unreached = self.following.wanted, self._look_at_store()
        wanted = self.following.wanted
        if wanted != before:
            self.error, self.failed = "", False  # they were about another release
        if wanted is None:
            self.error = unreached or "no release is wanted yet"
            return
        if not is_live(self.server.grpc):  # the kubelet starts it, or has just done so
            self.metrics.saw_no_server()
            self.failed, self._kept = False, None
            self.error = f"no Triton answers at {self.server.grpc}"
            self.metrics.wants(wanted.release)
            return
        try:
            self._serve(wanted)
        except _FAULTS as error:
            self.metrics.could_not_heal()
            self._kept = None
            self.error = str(error)
            return
        finally:
            self.metrics.wants(wanted.release)
        self.error = unreached or (self._attempt.error if self._attempt else "")

    def _look_at_store(self) -> str:
        """Returns why it could not be reached, else ""."""
        try:
            self.following.look()
        except OSError as error:
            self._store_reached.set(0)
            return f"the store of releases is not reached, what is loaded stays: {error}"
        except UnreadableRecord as error:
            self._failed_looks.inc()
            self._store_reached.set(1)
            return f"what is loaded stays: {error}"
        self._store_reached.set(1)
        return ""

    def _serve(self, wanted: DesiredRelease) -> None:
        release = self._due(wanted.release)
        try:
            self._bring(release)
        except _FAULTS as error:
            if self._attempt is not None:
                self._attempt.failed(error)
            self.failed = release == wanted.release
            raise
        self.failed = self._attempt is not None and bool(self._attempt.error)
        if release == wanted.release:
            self._keep(wanted.previous, release)
            held = {release, self._kept, wanted.previous}
            self.following.forget_all_but({one for one in held if one is not None})

    def _due(self, wanted: int) -> int:
        """The release to be served at this moment."""
        if self._serving in (None, wanted):
            self._attempt = None
            return wanted
        now = time.monotonic()
        if self._attempt is None or self._attempt.release != wanted:
            spread = 0.0 if wanted == self._kept else self._spread_seconds
            self._attempt = _Attempt(wanted, now + random.uniform(0.0, spread))  # noqa: S311
            self._unkept = set()
        return wanted if now >= self._attempt.due else self._serving

    def _bring(self, release: int) -> None:
        """Gets the server from what it answers with to the release, and heals what is wrong."""
        before = (self._kept,) if self._kept is not None and release == self._serving else ()
        self.following.fetch(release)
        target = _Target(self.following, Promoted(release, before, promoted_at=""))
        answering = probe(self.server.grpc).release
        if answering not in (None, release):
            correct(target, self.server, answering)
        pid = model_processes.server_of(self.server.repository)
        reconcile(target, self.server, pid, self.metrics)
        if release != self._serving:
            self._kept, self._serving, self._attempt = self._serving, release, None

    def _keep(self, previous: int | None, serving: int) -> None:
        """Loads the release before the wanted one beside it; that it cannot be is no fault."""
        if previous is None or previous == self._kept or previous in self._unkept:
            return
        with self.server.exclusive():
            try:
                if not is_ready(self.following, self.server, previous):
                    load_beside(self.following, self.server, previous, serving)
                self._kept = previous
            except _FAULTS as error:
                _LOG.warning("release %d cannot be kept to go back to: %s", previous, error)
                self._unkept.add(previous)
                switch(self.following, self.server, serving, {serving})
