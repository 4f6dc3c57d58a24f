"""Calls to the online store that cost next to nothing while it is down. Runs in both environments.

A circuit breaker (M. Nygard, "Release It!", 2007): the first failure opens the circuit, and until
the pause is over every call fails at once instead of waiting for a timeout. Then one call tries
the store again, and closes the circuit if it succeeds.
"""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")

CONNECT_SECONDS = 0.01
READ_SECONDS = 0.015
PAUSE_SECONDS = 1.0


class StoreUnavailable(ConnectionError):
    """The online store did not answer, or is being left alone after it has not."""


def connect(url: str) -> redis.Redis:
    """A client whose calls fail within the timeouts above, without retries of its own."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=READ_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class Circuit:
    """Guards the calls to one store."""

    def __init__(
        self, pause_seconds: float = PAUSE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._open_until: float | None = None

    def call(self, function: Callable[[], _Result]) -> _Result:
        """The function's result.

        Raises:
            StoreUnavailable: the store failed just now, or less than the pause ago.
        """
        if self._open_until is not None and self._clock() < self._open_until:
            raise StoreUnavailable("the online store failed a moment ago")
        try:
            result = function()
        except redis.RedisError as error:
            if self._open_until is None:
                _LOG.warning("online store failed, answers are degraded: %r", error)
            self._open_until = self._clock() + self._pause_seconds
            raise StoreUnavailable(f"the online store failed: {error!r}") from error
        if self._open_until is not None:
            _LOG.warning("online store answers again")
            self._open_until = None
        return result
