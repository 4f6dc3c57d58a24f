"""The benchmark's answers in the request log: counted, so that logging is proved, and removed."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import redis

from recsys_assets.pipeline.circuit import connect_for_bulk
from recsys_assets.pipeline.request_log import STREAM

_AT_ONCE = 100  # entries are of some kB: more would hold the store for milliseconds
_DRAIN_SECONDS = 1.0

Fields = dict[bytes, bytes]


class OwnAnswers:
    """Answers that came into the log since this was made.

    Args:
        url: of the online store.
        is_own: whether an entry is an answer to the benchmark, by its fields.
    """

    def __init__(self, url: str, is_own: Callable[[Fields], bool]) -> None:
        self._store: redis.Redis = connect_for_bulk(url)
        self._is_own = is_own
        newest: Any = self._store.xrevrange(STREAM, count=1)
        self._since: bytes = newest[0][0] if newest else b"0-0"

    def remove(self, drain: bool = True) -> int:
        """Takes them out of the log; others' answers stay.

        Args:
            drain: first wait for the writer to send what it still has.

        Returns:
            How many there were.
        """
        if drain:
            time.sleep(_DRAIN_SECONDS)
        removed = 0
        for entries in self._pages():
            own = [entry for entry, fields in entries if self._is_own(fields)]
            if own:
                removed += int(self._store.xdel(STREAM, *own))
        return removed

    def _pages(self) -> Iterator[list[tuple[bytes, Fields]]]:
        while True:
            page: Any = self._store.xrange(STREAM, min=b"(" + self._since, count=_AT_ONCE)
            if not page:
                return
            self._since = page[-1][0]
            yield page


def has_prefix(prefix: str) -> Callable[[Fields], bool]:
    """Whether the id of an answer begins so."""
    wanted = prefix.encode()
    return lambda fields: fields[b"id"].startswith(wanted)


def has_timestamp(timestamp: int) -> Callable[[Fields], bool]:
    """Whether an answer is to a request of that second."""
    wanted = str(timestamp).encode()
    return lambda fields: fields[b"timestamp"] == wanted
