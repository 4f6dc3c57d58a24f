"""GET /v1/recommendations: a thin gateway between storefronts, which speak HTTP, and Triton.

The served model `recommend` is asked without blocking, on one channel for all requests. An address
that resolves to several pods (a headless service) is used in turn, request by request: gRPC keeps a
connection to each and leaves out those that fail. A ClusterIP service would pin the channel to one
pod. gRPC looks the address up again when a connection ends, so Triton is to end them now and then
(`--grpc-max-connection-age=30000`), else added pods wait for their first request.

It checks the request, keeps its deadline, says in HTTP what Triton says in gRPC, and adds nothing
else: models, features, filters and the log of answers are behind it. It holds no state, so that any
number of them can run.

| status | when |
|---|---|
| 200 | the slate; `degraded` says that it is not personal |
| 401 | no token, or a wrong one |
| 422 | an input cannot be used; `detail` names it, its value and the remedy |
| 502 | Triton failed |
| 503 | Triton, or this service, has too much to do or is away: again after `Retry-After` seconds |
| 504 | no answer by the deadline |
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

from recsys_assets.pipeline.request_log import new_request_id
from recsys_assets.pipeline.requests import InvalidRequest, Requests
from recsys_assets.storefront.access import Tokens
from recsys_assets.storefront.web import Gate, HttpMetrics, Service, unavailable
from recsys_assets.triton.client import (
    Recommendation,
    RequestClass,
    inputs_of,
    model_for,
    read_answer,
    retry_after,
    tensors_of,
)

UNAVAILABLE = "StatusCode.UNAVAILABLE"
_CHANNEL = [
    ("grpc.lb_policy_name", "round_robin"),
    # A node that vanishes without a word is noticed; Triton ends channels that ping while idle.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Triton is a neighbour, even where a proxy is set for what is not.
    ("grpc.enable_http_proxy", 0),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
]
PATH = "/v1/recommendations"
LONGEST_MS = 10_000
_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0
_PROBE_EVERY_SECONDS, _PROOF_SECONDS = 1.0, 5.0
_TOO_LATE = ("StatusCode.DEADLINE_EXCEEDED", "StatusCode.CANCELLED")
_INVALID = "StatusCode.INVALID_ARGUMENT"


class TritonGateway:
    """Asks the servers at an address; make it where an event loop runs, and close it.

    Args:
        target: in gRPC's form, such as dns:///triton:8001.
    """

    def __init__(self, target: str) -> None:
        self._client = aio.InferenceServerClient(target, channel_args=_CHANNEL)

    async def recommend(
        self,
        tensors: dict[str, np.ndarray],
        request_class: RequestClass,
        seconds: float,
        cached: bool = False,
        probe: bool = False,
    ) -> Recommendation:
        """Items for one user.

        A server that went away is not the caller's concern: another one is asked, once, under the
        same request id. One that refuses for load is not asked again.

        Args:
            tensors: of `request_tensors`.
            request_class: how urgent.
            seconds: after which there is no answer.
            cached: a server may answer from memory what it was asked before, to the second, unless
                a search budget is given.
            probe: no traffic, so not logged.

        Raises:
            InferenceServerException: no answer; `status()` says why.
        """
        inputs = inputs_of(aio, tensors)
        request_id, deadline = new_request_id(probe), time.monotonic() + seconds
        arguments = {"request_id": request_id, **request_class.as_arguments(time.time())}
        model = model_for(request_class, cached)
        try:
            answer = await self._client.infer(model, inputs, client_timeout=seconds, **arguments)
        except InferenceServerException as error:
            left = deadline - time.monotonic()
            if error.status() != UNAVAILABLE or retry_after(error) is not None or left <= 0:
                raise
            answer = await self._client.infer(model, inputs, client_timeout=left, **arguments)
        return read_answer(answer, request_id)

    async def close(self) -> None:
        """Closes the channel."""
        await self._client.close()


def request_tensors(user_id: str, device: str, timestamp: int, k: int) -> dict[str, np.ndarray]:
    """The tensors of a request, [1, 1] each.

    Raises:
        InvalidRequest: a value is out of range; names it, as the served model would.
    """
    given = {"user_id": user_id.encode(), "device": device.encode(), "timestamp": timestamp, "k": k}
    # As objects, since a number may be larger than its tensor holds.
    Requests.of({name: np.array([[value]], dtype=np.object_) for name, value in given.items()})
    return tensors_of(user_id, device, timestamp, k)


class Priority(StrEnum):
    """Who waits: somebody in front of a page, or a batch of mails, which lets pages go first."""

    PAGE = "page"
    MAIL = "mail"


_AS_NUMBER = {Priority.PAGE: 1, Priority.MAIL: 2}


@dataclass(frozen=True)
class QueryLimits:
    """What one service takes on.

    Attributes:
        concurrency: requests being answered at a time; further ones are refused.
        deadline_ms: of requests that give none.
        cache_seconds: anonymous visitors' times are rounded down to a multiple of it, and Triton
            answers from memory what it was asked before; such answers are not logged. 0 is off.
    """

    concurrency: int = 256
    deadline_ms: int = 500
    cache_seconds: int = 0


DEFAULT_LIMITS = QueryLimits()


class Query(BaseModel):
    """The query of a request; what is not here is refused, so that no misspelt input is lost.

    `at` is ISO 8601 (UTC without a zone) or epoch seconds, and now if left out.
    """

    model_config = ConfigDict(extra="forbid")

    user_id: str = Field("", description="who asks; none is an anonymous visitor")
    k: int = Field(10, description="length of the slate, 1 to 200")
    device: str = Field("", description="what the user acts on")
    at: datetime | None = Field(
        None,
        description="moment of the request, now if left out: ISO 8601 or epoch seconds, UTC",
    )
    priority: Priority = Field(
        Priority.PAGE, description="`page`, or `mail`, which lets pages go first"
    )
    deadline_ms: int | None = Field(
        None,
        ge=1,
        le=LONGEST_MS,
        description="after which an answer is of no use; without, that of the service",
    )
    search_budget: str | None = Field(
        None, description="how far the index is searched: `low`, `normal` or `high`"
    )

    @classmethod
    def of(cls, request: Request) -> "Query":
        """Reads it at once: one parameter at a time is most of what FastAPI would cost.

        Raises:
            RequestValidationError: names each input that cannot be used.
        """
        try:
            return cls.model_validate(request.query_params)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None


class Gateway:
    """Asks Triton for requests, and now and then for itself, to know whether it answers."""

    def __init__(self, address: str, limits: QueryLimits) -> None:
        self._address, self._limits = address, limits
        self._gate = Gate(limits.concurrency)
        self._triton: TritonGateway | None = None
        self._probing: asyncio.Task[None] | None = None
        self._answered_at = float("-inf")
        self._last_error = "Triton has not been asked yet"

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Holds the channel, and keeps the proof of life fresh."""
        self._triton = TritonGateway(f"dns:///{self._address}")
        self._probing = asyncio.create_task(self._probe())
        try:
            yield
        finally:
            self._probing.cancel()
            await self._triton.close()

    async def why_not_ready(self) -> str:
        """Empty while an answer of a real inference is no older than a few seconds."""
        age = time.monotonic() - self._answered_at
        if age < _PROOF_SECONDS:
            return ""
        return f"no answer from {self._address} within {_PROOF_SECONDS:g} s: {self._last_error}"

    def why_not_live(self) -> str:
        """Empty while this process asks for itself; an answer that it cannot read ends that."""
        if self._probing is None or not self._probing.done():
            return ""
        return f"the probe has ended: {self._probing.exception()!r}"

    async def recommendations(self, request: Request) -> Response:
        """A slate; the header `X-Request-Id` finds it in the request log."""
        asked = Query.of(request)
        with self._gate.entered():
            answer = await self._answer(asked)
        headers = {"X-Request-Id": answer.request_id}
        return Response(_body(answer), headers=headers, media_type="application/json")

    async def _answer(self, asked: Query) -> Recommendation:
        allowed = asked.deadline_ms or self._limits.deadline_ms
        every = 0 if asked.user_id else self._limits.cache_seconds
        request_class = RequestClass(_AS_NUMBER[asked.priority], allowed, asked.search_budget)
        moment = _moment(asked.at, every)
        try:
            tensors = request_tensors(asked.user_id, asked.device, moment, asked.k)
            return await self._ask(tensors, request_class, allowed / 1000, cached=every > 0)
        except InvalidRequest as error:
            raise HTTPException(422, str(error)) from None
        except InferenceServerException as error:
            raise _as_http(error, allowed) from None

    async def _ask(
        self,
        tensors: dict[str, np.ndarray],
        request_class: RequestClass,
        seconds: float,
        **how: bool,
    ) -> Recommendation:
        assert self._triton is not None, "the application has not been started"  # noqa: S101
        try:
            answer = await self._triton.recommend(tensors, request_class, seconds, **how)
        except InferenceServerException as error:
            self._last_error = str(error.message())
            raise
        self._answered_at = time.monotonic()
        return answer

    async def _probe(self) -> None:
        """Asks as an anonymous visitor where nobody else has asked lately."""
        while True:
            if time.monotonic() - self._answered_at >= _PROBE_EVERY_SECONDS:
                tensors = request_tensors("", "", int(time.time()), 1)
                try:
                    await self._ask(tensors, RequestClass(), _PROBE_EVERY_SECONDS, probe=True)
                except InferenceServerException as error:
                    _LOG.warning("%s does not answer: %s", self._address, error.message())
            await asyncio.sleep(_PROBE_EVERY_SECONDS)


def recommend_service(
    address: str, limits: QueryLimits = DEFAULT_LIMITS, tokens: Tokens | None = None
) -> tuple[Service, FastAPI]:
    """The service and its application.

    Args:
        address: host:port of Triton's gRPC endpoint, or of a headless service over many.
        limits: of this process.
        tokens: one of which callers must bring; None lets all in.
    """
    gateway = Gateway(address, limits)
    service = Service(HttpMetrics("recommend"), gateway.why_not_ready, gateway.why_not_live)
    app = service.app(tokens, gateway.running, PATH)
    # Past FastAPI's dependencies, of which there are none to solve.
    app.add_route(PATH, gateway.recommendations)
    return service, app


def _moment(at: datetime | None, every: int) -> int:
    """Epoch seconds, rounded down to a multiple of `every` unless that is 0."""
    if at is None:
        moment = int(time.time())
    else:
        moment = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    return moment // every * every if every else moment


def _body(answer: Recommendation) -> str:
    items = [
        {"item_id": item, "score": score}
        for item, score in zip(answer.item_ids, answer.scores, strict=True)
    ]
    return json.dumps({"items": items, "release": answer.release, "degraded": answer.degraded})


def _as_http(error: InferenceServerException, deadline_ms: int) -> HTTPException:
    message, status = str(error.message()), error.status()
    wait = retry_after(error)
    if wait is not None or status == UNAVAILABLE:
        return unavailable(message, wait or _RETRY_SECONDS)
    if status in _TOO_LATE:
        return HTTPException(504, f"deadline_ms is {deadline_ms}: no answer by then ({message})")
    return HTTPException(422 if status == _INVALID else 502, message)
