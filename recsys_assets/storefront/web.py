"""What the HTTP services have in common: health, metrics, limits, errors, and an orderly end."""

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram
from prometheus_client import generate_latest as exposition
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from recsys_assets.storefront.access import TokenCheck, Tokens
from recsys_assets.storefront.connections import (
    DEFAULT_CONNECTIONS,
    ConnectionLimits,
    protocol_of,
)

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_OPERATIONS = ("/live", "/ready", "/metrics")
_OTHER = "other"  # all that is no path of the service: a label must not be the caller's to choose
_LONGEST_REQUEST_SECONDS = 30


class HttpMetrics:
    """Counts and times the requests of one service in a registry of its own."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "recsys_http_requests",
            "Requests answered",
            ["service", "path", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "recsys_http_seconds",
            "Seconds from the first byte of a request to the last of its answer",
            ["service", "path"],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Records one request."""
        self._requests.labels(self.service, path, str(status)).inc()
        self._seconds.labels(self.service, path).observe(seconds)


class _Observed:
    """Middleware that records every request."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, paths: Collection[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, {*paths, *_OPERATIONS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # an error that nobody has handled is answered further out

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, noting)
        finally:
            self._metrics.answered(self._path(scope), status, time.perf_counter() - started)

    def _path(self, scope: Scope) -> str:
        """The path, or the pattern that it was matched with."""
        pattern = getattr(scope.get("route"), "path", None)
        return next((path for path in (scope["path"], pattern) if path in self._paths), _OTHER)


class Gate:
    """Lets a bounded number of requests in; further ones are refused at once."""

    def __init__(self, most: int) -> None:
        self._most, self._inside = most, 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Counts a request in and out; for use on the event loop only.

        Raises:
            HTTPException: 503, too many are being answered.
        """
        if self._inside >= self._most:
            raise unavailable(f"{self._most} requests are being answered", 1.0)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


@dataclass
class Service:
    """One service: its metrics, whether it can answer, and whether it is about to end.

    Attributes:
        metrics: under the service's name.
        why_not_ready: says what is missing for an answer; empty if nothing is.
        why_not_live: says why only a new process can help; empty if none is needed.
        draining: requests are still answered, but no more should be sent here.
    """

    metrics: HttpMetrics
    why_not_ready: Callable[[], Awaitable[str]]
    why_not_live: Callable[[], str] = lambda: ""
    draining: bool = field(default=False, init=False)

    def app(self, tokens: Tokens | None, lifespan: Lifespan[FastAPI], *paths: str) -> FastAPI:
        """An application with health and metrics, to which the caller adds its `paths`."""
        app = FastAPI(openapi_url=None, lifespan=lifespan)
        if tokens is not None:
            app.add_middleware(TokenCheck, tokens=tokens)
        app.add_middleware(_Observed, metrics=self.metrics, paths=paths)
        app.add_exception_handler(RequestValidationError, _invalid)
        app.add_api_route("/live", self._live)
        app.add_api_route("/ready", self._ready)
        app.add_api_route("/metrics", self._exposition)
        return app

    async def _live(self) -> Response:
        reason = self.why_not_live()
        return as_json({"live": not reason, "reason": reason}, 503 if reason else 200)

    async def _ready(self) -> Response:
        reason = "draining" if self.draining else await self.why_not_ready()
        return as_json({"ready": not reason, "reason": reason}, 503 if reason else 200)

    async def _exposition(self) -> Response:
        content = await run_in_threadpool(exposition, self.metrics.registry)
        return Response(content, media_type=CONTENT_TYPE_LATEST)


class _Server(uvicorn.Server):
    """Turns unready when told to end, and ends some seconds later; when told again, at once."""

    def __init__(self, config: uvicorn.Config, service: Service, drain_seconds: float) -> None:
        super().__init__(config)
        self._service, self._drain_seconds = service, drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._service.draining or self._loop is None:
            self.should_exit = True
            return
        self._service.draining = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, self._end)

    def _end(self) -> None:
        self.should_exit = True


@dataclass(frozen=True)
class Bind:
    """Where a service listens, and what it takes from whoever connects.

    Attributes:
        host: address to listen on.
        port: to listen on.
        drain_seconds: for which it goes on after it was told to end.
        keep_alive_seconds: an idle connection is kept for so long. A balancer that keeps it for
            longer sends a request down one that is closed.
        connections: bounds of what has not become a request yet.
    """

    host: str
    port: int
    drain_seconds: float = 0.0
    keep_alive_seconds: int = 75
    connections: ConnectionLimits = DEFAULT_CONNECTIONS


def serve(service: Service, app: FastAPI, bind: Bind) -> None:
    """Serves until SIGTERM or SIGINT.

    From then on `/ready` answers 503 while everything else is answered as before, for the bind's
    `drain_seconds`: load balancers take that long to notice. Then no more connections are taken,
    and requests in flight are finished.
    """
    # What is loaded now stays for good: the collector need not look through it again and again,
    # which is some ten milliseconds of a request each time.
    gc.collect()
    gc.freeze()
    _Server(_config(app, bind), service, bind.drain_seconds).run()


def _config(app: FastAPI, bind: Bind) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        bind.host,
        bind.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_LONGEST_REQUEST_SECONDS,
        timeout_keep_alive=bind.keep_alive_seconds,
        http=protocol_of(bind.connections),
        h11_max_incomplete_event_size=bind.connections.head_bytes,
        ws="none",
    )


def as_json(content: object, status: int = 200) -> Response:
    """An answer of JSON."""
    return Response(json.dumps(content), status, media_type="application/json")


def unavailable(reason: str, retry_seconds: float) -> HTTPException:
    """503: the same request can be answered later."""
    return HTTPException(503, reason, {"Retry-After": str(ceil(retry_seconds))})


async def _invalid(_: Request, error: Exception) -> Response:
    """422 that names each field, its value and the remedy, in one sentence each."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [f"{one['loc'][-1]} is {one['input']!r}: {one['msg']}" for one in error.errors()]
    return as_json({"detail": "; ".join(found)}, 422)
