"""What a connection may take before anything is known of its caller.

h11 bounds the size of a request's head; httptools, which uvicorn would rather take, does not, and
saves 0.09 ms of CPU a request. What neither of them nor uvicorn bounds is here: the number of
connections, and the time in which a head has to come, and what is left of a body that nobody reads.
"""

import asyncio
from dataclasses import dataclass

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass(frozen=True)
class ConnectionLimits:
    """Bounds of one process.

    Attributes:
        most: connections at a time; further ones are closed at once.
        head_bytes: of a request's first line and headers.
        head_seconds: until they have come, and until the rest of a body has that nobody reads.
    """

    most: int = 4096
    head_bytes: int = 16_384
    head_seconds: float = 10.0


DEFAULT_CONNECTIONS = ConnectionLimits()


class Bounded(H11Protocol):
    """The protocol of uvicorn, held to the limits that it has none for; see `protocol_of`."""

    limits = DEFAULT_CONNECTIONS
    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counts it, and gives it as long for its first request as for the next."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.most:
            transport.abort()
            return
        self._keep_alive()

    def data_received(self, data: bytes) -> None:
        """Takes what has come, and counts the time from the first byte of a head to its last."""
        super().data_received(data)
        if self._is_incomplete():
            if self._overdue is None:
                self._overdue = self.loop.call_later(self.limits.head_seconds, self.transport.abort)
            return
        self._unwatch()
        if self.conn.their_state is h11.IDLE:  # what has come was the end of an unread body
            self._keep_alive()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it."""
        self._unwatch()
        super().connection_lost(exc)

    def _is_incomplete(self) -> bool:
        """Whether a head has begun, or nobody waits for the body that is still coming."""
        if self.conn.their_state is h11.IDLE:
            return bool(self.conn.trailing_data[0])
        return self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY

    def _keep_alive(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _unwatch(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None


def protocol_of(limits: ConnectionLimits) -> type[Bounded]:
    """The protocol with other limits."""
    return type(Bounded.__name__, (Bounded,), {"limits": limits})
