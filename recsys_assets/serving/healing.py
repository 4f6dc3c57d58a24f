"""What is wrong with the embedded services, and how it is put right without a person.

A process that dies is started again, a model process that dies is loaded again (Triton does not do
that by itself, and reports such a model as ready), and a server that answers with another release
than the promoted one, as after a promotion that was killed half-way, is brought to it. On
Kubernetes the first is the kubelet's work; the second and third are what a liveness probe must ask
for: a real inference.
"""

import time
from collections.abc import Callable, Iterator

from recsys_assets.serving.client import RecommendClient
from recsys_assets.serving.processes import ServiceError
from recsys_assets.serving.promotion import LiveServer, serve_promoted
from recsys_assets.serving.release import MissingRelease, Releases
from recsys_assets.serving.services import live_server, releases, up
from recsys_assets.serving.triton import Triton
from recsys_assets.serving.valkey import Valkey
from recsys_assets.settings import Settings

# A slow answer on a busy machine is no reason to load a release again: it must fail in a row.
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.3


def heal(present: Releases, server: LiveServer) -> str | None:
    """Makes a running server answer with the promoted release, if it does not.

    Returns:
        What was wrong, or None where nothing was.

    Raises:
        PromotionError: the release cannot be served.
        MissingRelease: it is gone from the store.
    """
    fault = _lasting_fault(present, server)
    if fault:
        serve_promoted(present, server)
    return fault or None


def heal_services(settings: Settings) -> list[str]:
    """Looks at Valkey, Triton and the release once; returns what was wrong and has been healed.

    Raises:
        ServiceError: what is wrong cannot be healed; the message says what to do.
    """
    down = [
        f"{name} did not answer"
        for name, answers in (
            ("Valkey", Valkey.of(settings).answers),
            ("Triton", Triton.of(settings).live),
        )
        if not answers()
    ]
    if down:
        up(settings)
        return down
    try:
        fault = heal(releases(settings), live_server(settings))
    except MissingRelease as error:
        raise ServiceError(f"the promoted release is gone: {error}") from None
    return [fault] if fault else []


def watch(
    settings: Settings, every_seconds: float, sleep: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """Heals for ever, and yields a line for whatever was healed or could not be.

    A fault that stays is named once, not at every look.
    """
    said: list[str] = []
    while True:
        try:
            lines = [f"healed: {fault}" for fault in heal_services(settings)]
        except ServiceError as error:
            lines = [f"cannot be healed: {error}"]
        if lines != said:
            yield from lines
        said = lines
        sleep(every_seconds)


def _lasting_fault(present: Releases, server: LiveServer) -> str:
    """What was wrong with every one of some requests in a row; empty if one was answered well."""
    fault = ""
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE_SECONDS if attempt else 0.0)
        fault = _fault(present, server)
        if not fault:
            break
    return fault


def _fault(present: Releases, server: LiveServer) -> str:
    from tritonclient.utils import InferenceServerException

    promoted = present.promoted()
    if promoted is None:
        return ""
    try:
        with RecommendClient(server.grpc, probe=True) as client:
            answer = client.recommend("", int(time.time()), k=1)
    except InferenceServerException as error:
        return f"release {promoted.release} failed: {error.message()}"
    if answer.release != promoted.release:
        return f"release {answer.release} answered instead of release {promoted.release}"
    return ""
