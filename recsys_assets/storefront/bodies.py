"""Bodies of requests: read and worked on within bounds, and judged part by part."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from recsys_assets.storefront.web import Gate, as_json, unavailable

RETRY_SECONDS, FULL_SECONDS = 1.0, 30.0
_BODY_SECONDS = 10.0
_Result = TypeVar("_Result")


class UnusableBody(ValueError):
    """A body of which nothing can be used; the message says what it is, and what to send."""


class NotKept(RuntimeError):
    """Nothing of a body could be kept now; it can be sent again after `retry_seconds`."""

    def __init__(self, reason: str, retry_seconds: float) -> None:
        super().__init__(reason)
        self.retry_seconds = retry_seconds


class UnusableValue(ValueError):
    """A part of a body that cannot be used; `reason` is one of few words."""

    def __init__(self, reason: str, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field} is {short(value)}: give {remedy}")
        self.reason = reason


class Bodies:
    """Takes the bodies of one process.

    Args:
        held: bodies at a time, come or still to come.
        worked_on: of those, at a time.
    """

    def __init__(self, held: int, worked_on: int) -> None:
        self._held, self._worked_on = Gate(held), Gate(worked_on)

    async def taken(
        self, request: Request, most_bytes: int, work: Callable[[bytes], _Result]
    ) -> _Result:
        """What `work`, in a thread, makes of a request's body.

        Args:
            request: whose body has not been read.
            most_bytes: of the body.
            work: may raise `UnusableBody`, `UnusableValue` and `NotKept`.

        Raises:
            HTTPException: what it raised, or a bound that is exceeded.
        """
        with self._held.entered():
            body = await read_body(request, most_bytes)
            return await self.worked_on(lambda: work(body))

    async def worked_on(self, work: Callable[[], _Result]) -> _Result:
        """The same of a request that has no body."""
        try:
            with self._worked_on.entered():
                return await run_in_threadpool(work)
        except (UnusableBody, UnusableValue) as error:
            raise HTTPException(422, str(error)) from None
        except NotKept as error:
            raise unavailable(str(error), error.retry_seconds) from None


async def read_body(request: Request, most: int) -> bytes:
    """The body, given up as soon as it is too large, or where it takes too long to come."""
    problem = f"the body has more than {most} bytes: send less at a time"
    if int(request.headers.get("content-length", 0)) > most:  # a number: the protocol checks it
        raise HTTPException(413, problem)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise HTTPException(413, problem)
    except TimeoutError:
        raise HTTPException(408, f"the body took more than {_BODY_SECONDS:g} s") from None
    return bytes(body)


def parsed(body: bytes, what: str) -> Any:
    """The JSON of a body that should be `what`.

    Raises:
        UnusableBody: it is no JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnusableBody(f"the body is no JSON ({error}): send {what}") from None


def parsed_array(body: bytes, parts: str, most: int) -> list[object]:
    """The JSON array of a body, of 1 to `most` parts, such as "events".

    Raises:
        UnusableBody: it is none.
    """
    given = parsed(body, f"an array of {parts}")
    if isinstance(given, list) and 0 < len(given) <= most:
        return given
    what = f"{len(given)} {parts}" if isinstance(given, list) else type(given).__name__
    raise UnusableBody(f"the body is {what}: send an array of 1 to {most} {parts}")


def verdicts(parts: str, told: Sequence[Mapping[str, Any]], whole: int) -> Response:
    """The answer for a body whose parts were judged one by one.

    Args:
        parts: such as "events".
        told: of each, its id, whether it is `accepted`, and if not why.
        whole: status where all are accepted.
    """
    accepted = sum(one["accepted"] for one in told)
    refused = len(told) - accepted
    status = 422 if not accepted else 207 if refused else whole
    return as_json({"accepted": accepted, "refused": refused, parts: told}, status)


def short(value: object) -> str:
    """A value for an error, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
