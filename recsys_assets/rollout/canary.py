"""Answers of a rendered release before it is promoted, from a server that nobody else asks.

On one machine that is a Triton started for the check, in a cluster the canary pods (`fleet.py`).

Its latency is that of the whole ensemble as one client sees it: sequential requests over gRPC on an
open connection, after a warm-up, for users in turn. Under load it is measured by a benchmark.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Protocol

import numpy as np

from recsys_assets.pipeline.circuit import PAUSE_SECONDS
from recsys_assets.pipeline.requests import MAX_K
from recsys_assets.releases.release import Releases
from recsys_assets.rollout.model_control import load
from recsys_assets.rollout.release_target import PromotionError
from recsys_assets.runtime.processes import free_addresses
from recsys_assets.triton.client import Recommendation, RecommendClient, retry_after
from recsys_assets.triton.repository import add_version, item_ids, write_configs
from recsys_assets.triton.server import Addresses, TritonServer

UNKNOWN_USER = "canary: a user whom training has never seen"
ANONYMOUS = ""
_USUAL_K = 10
# Share of the limit of a load for which answers may stay degraded, over all requests.
_DEGRADED_SHARE = 0.1
_KS = (1, 37, MAX_K)
_REFUSED_KS = (-1, 0, MAX_K + 1)
_TIMED_REQUESTS = 100
_WARM_UP = 50


@dataclass(frozen=True)
class Canary:
    """One request, and what the answer must not hold."""

    user_id: str
    k: int
    seen: frozenset[str]


@dataclass(frozen=True)
class Finding:
    """What is wrong with the answer to one request; empty where nothing is."""

    user_id: str
    k: int
    faults: tuple[str, ...]


@dataclass(frozen=True)
class CanaryReport:
    """What a release answered, and how fast.

    Attributes:
        findings: one for each request, then one for each `k` that must be refused.
        latency_ms_p50: median over warm requests one after another; None if the release has
            faults, whose answers are not worth timing.
        latency_ms_p99: likewise.
    """

    findings: tuple[Finding, ...]
    latency_ms_p50: float | None
    latency_ms_p99: float | None

    @property
    def latency(self) -> dict[str, float]:
        """What was measured of the latency, by name: both figures or nothing."""
        if self.latency_ms_p50 is None or self.latency_ms_p99 is None:
            return {}
        return {"latency_ms_p50": self.latency_ms_p50, "latency_ms_p99": self.latency_ms_p99}

    @property
    def faulty(self) -> tuple[Finding, ...]:
        """The findings with faults; a sound release has none."""
        return tuple(finding for finding in self.findings if finding.faults)


def canaries(purchased: Mapping[str, Sequence[str]]) -> list[Canary]:
    """Requests for known users (with what they have bought), an unknown and an anonymous one."""
    known = [Canary(user, _USUAL_K, frozenset(items)) for user, items in purchased.items()]
    strangers = [Canary(user, _USUAL_K, frozenset()) for user in (UNKNOWN_USER, ANONYMOUS)]
    odd = [replace(canary, k=k) for canary in (*known[:1], *strangers) for k in _KS]
    return known + strangers + odd


@dataclass(frozen=True)
class _Catalogue:
    """The items of a release, and those that are off sale when it is asked."""

    items: frozenset[str]
    off_sale: frozenset[str]


class CanaryServer(Protocol):
    """Serves a release that is not live."""

    @property
    def wait_seconds(self) -> float:
        """How long a load may take there."""

    def serving(self, releases: Releases, release: int) -> AbstractContextManager[tuple[str, str]]:
        """Yields where it can be asked, host:port, and why it cannot be served, else ""."""


def check_release(
    releases: Releases,
    release: int,
    server: CanaryServer,
    requests: Sequence[Canary],
    timestamp: int,
    off_sale: frozenset[str] = frozenset(),
) -> CanaryReport:
    """Has the release served, inspects its answers and times them.

    Args:
        releases: where the release is.
        release: its number.
        server: serves it.
        requests: what to ask.
        timestamp: the time of the requests, epoch seconds.
        off_sale: items that no slate shows now, so that answers may be the shorter for them.
    """
    folder = releases.fetch(release)
    catalogue = _Catalogue(frozenset(item_ids(folder, release)), off_sale)
    with server.serving(releases, release) as (address, fault):
        if fault:
            return CanaryReport((Finding(ANONYMOUS, 1, (fault,)),), None, None)
        until = time.monotonic() + _DEGRADED_SHARE * server.wait_seconds
        findings = tuple(_findings(address, requests, release, catalogue, timestamp, until))
        report = CanaryReport(findings, None, None)
        if report.faulty:
            return report
        users = [canary.user_id for canary in requests]
        latency = measure_latency(address, users, timestamp, _TIMED_REQUESTS)
        return replace(report, latency_ms_p50=latency.p50_ms, latency_ms_p99=latency.p99_ms)


@dataclass(frozen=True)
class TemporaryServer:
    """A Triton like the live one, on free ports and in a folder of its own, while it is asked."""

    live: TritonServer

    @property
    def wait_seconds(self) -> float:
        """As of the live one."""
        return self.live.wait_seconds

    @contextmanager
    def serving(self, releases: Releases, release: int) -> Iterator[tuple[str, str]]:
        """Starts it with the release, and stops it.

        Should a killed check have left such a server running, that is stopped first.
        """
        http, grpc, metrics = free_addresses(3)
        folder = self.live.folder / "canary"
        server = replace(
            self.live,
            folder=folder,
            repository=folder / "models",
            addresses=Addresses(http, grpc, metrics),
        )
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
        _lay(releases.fetch(release), server, release)
        try:
            yield str(grpc), _load(server, release)
        finally:
            server.stop()


def _lay(folder: Path, server: TritonServer, release: int) -> None:
    add_version(folder / "models", server.repository, release)
    write_configs(folder / "templates", server.repository, release)


def _load(server: TritonServer, release: int) -> str:
    """Starts the server with the release; returns why that cannot be served, if so."""
    address = str(server.addresses.grpc)
    try:
        server.start_and(lambda: load(address, release, server.wait_seconds))
    except PromotionError as error:
        return str(error)
    return ""


def _findings(
    address: str,
    requests: Sequence[Canary],
    release: int,
    catalogue: _Catalogue,
    timestamp: int,
    until: float,
) -> Iterator[Finding]:
    with RecommendClient(address, probe=True) as client:
        for canary in requests:
            faults = _ask(client, canary, release, catalogue, timestamp, until)
            yield Finding(canary.user_id, canary.k, faults)
        for k in _REFUSED_KS:
            yield _ask_refused(client, k, timestamp)


def _ask(
    client: RecommendClient,
    canary: Canary,
    release: int,
    catalogue: _Catalogue,
    timestamp: int,
    until: float,
) -> tuple[str, ...]:
    from tritonclient.utils import InferenceServerException

    try:
        answer = whole_answer(
            lambda: client.recommend(canary.user_id, timestamp, k=canary.k), until
        )
    except InferenceServerException as error:
        return (f"not answered: {error.message()}",)
    return tuple(_faults(answer, canary, release, catalogue))


def whole_answer(ask: Callable[[], Recommendation], until: float) -> Recommendation:
    """Asks again while the answer is degraded, or the server has too much to do.

    One slow reply of the store on a busy machine is no fault of the release.

    Args:
        ask: sends the request.
        until: the last answer begun after this counts; seconds of the monotonic clock.

    Raises:
        tritonclient.utils.InferenceServerException: the server fails, or refuses to the last.
    """
    from tritonclient.utils import InferenceServerException

    while True:
        last = time.monotonic() >= until
        try:
            answer = ask()
            if last or not answer.degraded:
                return answer
        except InferenceServerException as error:
            if last or retry_after(error) is None:
                raise
        time.sleep(1.5 * PAUSE_SECONDS)


def _faults(
    answer: Recommendation, canary: Canary, release: int, catalogue: _Catalogue
) -> Iterator[str]:
    items = set(answer.item_ids)
    on_sale = catalogue.items - catalogue.off_sale
    wanted = min(canary.k, len(on_sale - canary.seen))
    # A Bloom filter leaves out some unseen items too, which shows in a small catalogue only.
    if not min(wanted, len(on_sale) // 2) <= len(answer.item_ids) <= canary.k:
        yield f"{len(answer.item_ids)} items instead of {wanted}"
    if len(items) != len(answer.item_ids):
        yield "an item appears twice"
    if not items <= catalogue.items:
        yield f"{min(items - catalogue.items)!r} is not in the catalogue"
    if items & canary.seen:
        yield f"{len(items & canary.seen)} items that the user has bought"
    if not all(math.isfinite(score) for score in answer.scores):
        yield "a score that is not finite"
    if answer.release != release:
        yield f"release {answer.release} answered"
    if answer.degraded:
        yield "degraded: the online store was not reached"


def _ask_refused(client: RecommendClient, k: int, timestamp: int) -> Finding:
    from tritonclient.utils import InferenceServerException

    try:
        client.recommend(ANONYMOUS, timestamp, k=k)
    except InferenceServerException:
        return Finding(ANONYMOUS, k, ())
    return Finding(ANONYMOUS, k, ("answered instead of refused",))


@dataclass(frozen=True)
class Latency:
    """What was measured, in milliseconds, and how many of the answers were degraded."""

    requests: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    degraded: int


def measure_latency(
    grpc_address: str, users: Sequence[str], timestamp: int, requests: int = 1000, k: int = 10
) -> Latency:
    """Sends `requests` requests one after another, as probes, whose answers are not logged."""
    milliseconds, degraded = [], 0
    with RecommendClient(grpc_address, probe=True) as client:
        for number, user in enumerate(islice(cycle(users), _WARM_UP + requests)):
            start = time.perf_counter()
            answer = client.recommend(user, timestamp, k=k)
            if number >= _WARM_UP:
                milliseconds.append((time.perf_counter() - start) * 1000)
                degraded += answer.degraded
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return Latency(
        requests=requests,
        p50_ms=round(float(p50), 2),
        p99_ms=round(float(p99), 2),
        max_ms=round(max(milliseconds), 2),
        degraded=degraded,
    )
