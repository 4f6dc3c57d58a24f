"""Calls to the online store that cost next to nothing while it is down. Runs in both environments.

A circuit breaker (M. Nygard, "Release It!", 2007): failures in a row open the circuit, and until
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

from recsys_assets.storage.online_store import STORE_ERRORS, open_store

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")

CONNECT_SECONDS = 0.02
READ_SECONDS = 0.03
PAUSE_SECONDS = 0.5
FAILURES_IN_A_ROW = 3


class StoreUnavailable(ConnectionError):
    """The online store did not answer, or is being left alone after it has not."""


def connect(url: str) -> redis.Redis:
    """A client whose calls fail within the timeouts above, without retries of its own."""
    return open_store(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=READ_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def connect_for_bulk(url: str) -> redis.Redis:
    """A client for writing in bulk, whose calls may take their time."""
    return open_store(url, socket_connect_timeout=5.0, socket_timeout=60.0)


class Circuit:
    """Guards the calls to one store."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._open_until = float("-inf")

    def call(self, function: Callable[[], _Result]) -> _Result:
        """The function's result.

        Raises:
            StoreUnavailable: the store failed just now, or is being left alone after it has.
        """
        if self._clock() < self._open_until:
            raise StoreUnavailable("the online store failed a moment ago")
        try:
            result = function()
        except STORE_ERRORS as error:
            self._count(error)
            raise StoreUnavailable(f"the online store failed: {error!r}") from error
        if self._failures >= FAILURES_IN_A_ROW:
            _LOG.warning("online store answers again")
        self._failures = 0
        return result

    def _count(self, error: Exception) -> None:
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self._open_until = self._clock() + PAUSE_SECONDS
        if self._failures == FAILURES_IN_A_ROW:
            _LOG.warning("online store is down, answers are degraded: %r", error)
