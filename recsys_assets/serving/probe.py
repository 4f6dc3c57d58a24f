"""One real request to a server, and what its outcome says about the server's health."""

import time
from dataclasses import dataclass
from typing import Literal

from recsys_assets.serving.client import RecommendClient

Outcome = Literal["answered", "busy", "dead process", "failed"]

# A dead model process fails its request after one second; anything later is a busy server.
_SECONDS = 2.0
# Triton's words. A server that refuses, or is late, has too much to do: to load its release again
# would make that worse.
_BUSY = ("Exceeds maximum queue size", "Request timeout expired", "Deadline Exceeded")
_DEAD = ("is not healthy",)


@dataclass(frozen=True)
class Probe:
    """What became of a request.

    Attributes:
        outcome: how it went.
        seconds: until it was answered or failed.
        release: the one that answered; None without an answer.
        message: what the server said where it failed.
    """

    outcome: Outcome
    seconds: float
    release: int | None = None
    message: str = ""


def probe(grpc_address: str) -> Probe:
    """Asks as an anonymous visitor; the answer is no traffic and not logged."""
    from tritonclient.utils import InferenceServerException

    started = time.monotonic()
    try:
        with _ProbeClient(grpc_address) as client:
            answer = client.recommend("", int(time.time()), k=1)
    except InferenceServerException as error:
        message = str(error.message())
        return Probe(outcome_of(message), time.monotonic() - started, message=message)
    return Probe("answered", time.monotonic() - started, release=answer.release)


def outcome_of(message: str) -> Outcome:
    """What an error of Triton says about the server."""
    if any(word in message for word in _BUSY):
        return "busy"
    return "dead process" if any(word in message for word in _DEAD) else "failed"


class _ProbeClient(RecommendClient):
    """Waits no longer than it takes to tell a failure from a busy server."""

    def __init__(self, address: str) -> None:
        super().__init__(address, probe=True)
        self._timeout = {"client_timeout": _SECONDS}


__all__ = ["Outcome", "Probe", "outcome_of", "probe"]
