"""One real request to a server, and what its outcome says about the server's health."""

import time
from dataclasses import dataclass
from typing import Literal

from recsys_assets.serving.client import RecommendClient, is_late, retry_after

Outcome = Literal["answered", "busy", "dead process", "failed"]

# A dead model process fails its request after one second; anything later is a busy server.
_SECONDS = 2.0
# Words of Triton.
_DEAD = "is not healthy"


@dataclass(frozen=True)
class Probe:
    """What became of a request.

    Attributes:
        outcome: how it went.
        seconds: until it was answered or failed.
        release: the one that answered; None without an answer.
        degraded: whether the answer was.
        message: what the server said where it failed.
    """

    outcome: Outcome
    seconds: float
    release: int | None = None
    degraded: bool = False
    message: str = ""


def probe(grpc_address: str, user_id: str = "") -> Probe:
    """Asks, as an anonymous visitor unless told otherwise; the answer is no traffic, not logged."""
    from tritonclient.utils import InferenceServerException

    started = time.monotonic()
    try:
        # Waits no longer than it takes to tell a failure from a busy server.
        with RecommendClient(grpc_address, probe=True, timeout_seconds=_SECONDS) as client:
            answer = client.recommend(user_id, int(time.time()), k=1)
    except InferenceServerException as error:
        message = str(error.message())
        return Probe(outcome_of(error), time.monotonic() - started, message=message)
    seconds = time.monotonic() - started
    return Probe("answered", seconds, release=answer.release, degraded=answer.degraded)


def outcome_of(error: Exception) -> Outcome:
    """What an error of Triton says about the server.

    One that refuses, or is late, has too much to do: to load its release again would make that
    worse.
    """
    if retry_after(error) is not None or is_late(error):
        return "busy"
    return "dead process" if _DEAD in str(error) else "failed"
